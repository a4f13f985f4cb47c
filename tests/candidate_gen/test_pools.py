"""Logs that do not fit into one pool, nor into one block: what is drawn, and that blocks change nothing."""

import numpy as np
import pytest

from candidate_gen import interactions, popularity, steps
from candidate_gen.steps import Place, StepMaker, corpus_of, examples_of
from core import room
from core.room import Room
from tests.candidate_gen.conftest import TINY
from tests.candidate_gen.worlds import START_MS

EVERY = TINY.model_copy(update={"signal_weights": (1,) * 7, "batch": 64})


def maker_of(world, pool, config=EVERY):
    corpus = corpus_of(world.watches, world.table.upload_ms, config)
    examples = examples_of(corpus, config, START_MS, world.now_ms)
    return StepMaker(corpus, examples, config, np.random.default_rng(0), pool), len(examples.at)


def test_a_pass_over_pools_takes_every_example_once_in_an_order_of_its_own(world):
    maker, size = maker_of(world, 1024)
    assert size > 4 * 1024
    first, second = (np.concatenate(list(maker.epoch())) for _ in range(2))
    for drawn in (first, second):
        assert len(set(drawn.tolist())) == len(drawn)
        # The last batch of each pool is left out where it is short: less than half a batch of 64 in 1,024.
        assert len(drawn) > size * (1 - 32 / 1024) - 32
    assert not np.array_equal(first[:500], second[:500])


def test_a_pool_holds_viewers_of_the_whole_log(world):
    maker, size = maker_of(world, 1024)
    first = np.concatenate([batch for batch, _ in zip(maker.epoch(), range(8), strict=False)])
    # Examples go by viewer: 512 of neighbours would span 512 / size of the log.
    assert first.min() < size / 10 and first.max() > size * 9 / 10


def test_a_pass_ends_at_its_limit(world):
    maker, _ = maker_of(world, 1024, EVERY.model_copy(update={"epoch_examples": 1500}))
    assert sum(map(len, maker.epoch())) == pytest.approx(1500, abs=64)


@pytest.mark.parametrize("pool", [1 << 20, 1024])
@pytest.mark.parametrize("taken", [1, 17, 40])
def test_a_pass_that_was_left_goes_on_with_the_same_batches_and_negatives(world, pool, taken):
    whole, _ = maker_of(world, pool)
    wanted = [(batch, whole.drawn()) for batch in whole.epoch()]
    left, _ = maker_of(world, pool)
    running = left.epoch()
    for _ in range(taken):
        next(running)
        left.drawn()
    place, state = Place(**vars(left.place)), left.rng_state
    other, _ = maker_of(world, pool)
    other.rng_state = state
    rest = [(batch, other.drawn()) for batch in other.epoch(place)]
    assert len(rest) == len(wanted) - taken
    for (batch, drawn), (batch_wanted, drawn_wanted) in zip(rest, wanted[taken:], strict=True):
        np.testing.assert_array_equal(batch, batch_wanted)
        np.testing.assert_array_equal(drawn, drawn_wanted)
    assert other.rng_state == whole.rng_state


def test_blocks_and_mapped_files_change_no_bit_of_a_step(world, tmp_path, monkeypatch):
    wanted = step_of(world)
    small = lambda size: room.blocks(size, 100)  # noqa: E731
    for module in (interactions, popularity, steps):
        monkeypatch.setattr(module, "blocks", small)
    mapped = world.watches.__class__(**vars(world.watches) | {"room": Room(tmp_path, least_bytes=64)})
    found = step_of(type(world)(world.table, mapped, world.taste, world.now_ms))
    for name, array in vars(wanted).items():
        np.testing.assert_array_equal(getattr(found, name), array, err_msg=name)


def step_of(world):
    watches = world.watches.before(world.now_ms - 3_600_000)
    corpus = corpus_of(watches, world.table.upload_ms, TINY)
    examples = examples_of(corpus, TINY, START_MS, world.now_ms)
    maker = StepMaker(corpus, examples, TINY, np.random.default_rng(0))
    return maker.make(next(maker.epoch()))


def test_a_watch_out_of_order_is_found_in_every_block_and_a_viewer_s_first_is_none(world, monkeypatch):
    monkeypatch.setattr(interactions, "blocks", lambda size: room.blocks(size, 7))
    watches = world.watches
    interactions.Interactions(**vars(watches))
    inside = [at for at in range(1, 100) if at not in watches.indptr]
    for at in inside:
        time_ms = watches.time_ms.copy()
        time_ms[at] = time_ms[at - 1] - 1
        with pytest.raises(interactions.InputError, match=f"Watch {at} is older"):
            interactions.Interactions(**vars(watches) | {"time_ms": time_ms})


def test_some_viewers_keep_all_their_watches(world):
    some = world.watches.of_some(2_000, seed=1)
    counts, all_counts = np.diff(some.indptr), np.diff(world.watches.indptr)
    assert 1_900 < len(some) <= 2_000
    assert set(np.unique(counts[counts > 0])) <= set(all_counts) and some.viewers == world.watches.viewers
    assert world.watches.of_some(10**9, seed=1) is world.watches
