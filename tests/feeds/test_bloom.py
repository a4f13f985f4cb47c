"""Bloom filters: no member is missed, and others are taken for members as often as was said."""

import numpy as np
import pytest

from feeds.bloom import Bloom, hashes_of

OTHERS = np.random.default_rng(1).integers(0, 2**64, 400_000, np.uint64)


@pytest.mark.parametrize("share", [0.01, 0.0025])
@pytest.mark.parametrize("members", [100, 3_000, 52_000])
def test_every_member_is_found_and_at_most_the_stated_share_of_others(members, share):
    hashes = hashes_of([f"v{number}" for number in range(members)])
    bloom = Bloom.sized(members, share).with_members(hashes)
    assert bloom.has(hashes).all()
    measured = bloom.has(OTHERS).mean()
    # Four standard deviations of a share of 400,000 draws: 0.0006 at 1%.
    assert measured <= share + 4 * (share / len(OTHERS)) ** 0.5


def test_a_full_filter_of_round_size_errs_as_the_formula_says():
    bits, places = 1 << 16, 7
    members = int(bits * np.log(2) / places)
    bloom = Bloom(np.zeros(bits // 64, np.uint64), places)
    bloom = bloom.with_members(hashes_of([f"v{number}" for number in range(members)]))
    expected = (1 - np.exp(-places * members / bits)) ** places  # 2^-7 at half full: 0.0078
    assert bloom.has(OTHERS).mean() == pytest.approx(expected, rel=0.05)


def test_adding_leaves_the_filter_that_was_added_to_as_it_was():
    empty = Bloom.sized(10, 0.01)
    assert empty.with_members(hashes_of(["a"])).has(hashes_of(["a", "b"])).tolist() == [True, False]
    assert not empty.has(hashes_of(["a"])).any()


def test_a_word_has_one_hash_for_ever():
    assert hashes_of(["v1", "ключ"]).tolist() == [15711931276733155868, 2362285139686184012]
