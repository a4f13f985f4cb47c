"""Every feature is declared whole, once; the schema's hash tells builds apart."""

import dataclasses
import re

import numpy as np
import pytest

from core.errors import CorruptData
from core.video_table import Vocabulary
from features import definitions
from features.definitions import FEATURES, NAMES, Feature, schema_hash
from features.layout import COUNTS_DTYPE
from features.packed import pack_rows, record_of
from features.state import FeatureState, TraitCodes
from features.words import Words
from tests.features.toy_state import PROFILES, batch, every_kind
from tests.features.worldlet import catalogue


@pytest.mark.parametrize("feature", FEATURES, ids=NAMES)
def test_every_feature_says_what_it_is(feature: Feature):
    assert re.fullmatch(r"[a-z][a-z0-9_]*", feature.name)
    assert feature.owner in {"video", "author", "trend", "viewer", "context"}
    assert len(feature.meaning) > 5 and feature.dtype == "float32" and np.isfinite(feature.default)


def test_names_are_unique_and_in_the_order_of_the_matrix():
    assert len(set(NAMES)) == len(NAMES) == len(FEATURES)
    _, rows = batch(every_kind(catalogue(), 50, 1))
    assert rows.features.shape == (len(rows), len(NAMES)) and np.isfinite(rows.features).all()


@pytest.mark.parametrize(
    "change", [{"name": "renamed"}, {"default": 9.0}, {"dtype": "float64"}, {"owner": "x"}, {"meaning": "other"}]
)
def test_the_schema_hash_changes_with_every_part_of_a_declaration(monkeypatch, change):
    before = schema_hash()
    changed = dataclasses.replace(FEATURES[3], **change)
    monkeypatch.setattr(definitions, "FEATURES", (*FEATURES[:3], changed, *FEATURES[4:]))
    assert schema_hash() != before and re.fullmatch(r"[0-9a-f]{16}", before)


def test_the_schema_hash_changes_with_the_order_the_smoothing_and_the_layout(monkeypatch):
    hashes = {schema_hash()}
    with monkeypatch.context() as patch:
        patch.setattr(definitions, "FEATURES", FEATURES[::-1])
        hashes.add(schema_hash())
    with monkeypatch.context() as patch:
        patch.setitem(definitions.PRIOR, "likes", 0.5)
        hashes.add(schema_hash())
    with monkeypatch.context() as patch:
        patch.setattr(definitions.L, "SLOTS", (1, 2, 3, 4, 5, 6))
        hashes.add(schema_hash())
    assert len(hashes) == 4 and schema_hash() in hashes


def first_impression():
    return [event for event in every_kind(catalogue(), 40, 3) if type(event).__name__ == "Impression"][:1]


def test_a_rate_without_watches_is_its_prior():
    _, rows = batch(first_impression())
    first = dict(zip(NAMES, rows.features[0].tolist(), strict=True))
    assert first["video_likes_rate_30d"] == pytest.approx(0.02)
    assert first["viewer_ratio_rate_1d"] == first["pair_author_ratio_rate"] == pytest.approx(0.4)
    assert first["since_last_s"] == -1 and first["history_len"] == 0


def test_a_packed_row_of_another_size_is_corrupt():
    raw = pack_rows(np.zeros(1, COUNTS_DTYPE))[0]
    assert record_of(raw, COUNTS_DTYPE).shape == (1,)
    with pytest.raises(CorruptData, match=f"{len(raw) - 1} bytes"):
        record_of(raw[:-1], COUNTS_DTYPE)


def test_traits_get_codes_by_first_sight_and_unknown_ones_get_zero():
    traits = TraitCodes()
    traits.learn(("mood=good", "age=old"))
    traits.learn(("mood=bad",))
    assert traits.encode(("mood=bad", "age=young", "size=big"))[:3].tolist() == [2, 0, 0]
    assert traits.encode(())[:2].tolist() == [0, 0]


def test_words_put_the_same_codes_into_another_state():
    state = FeatureState(catalogue())
    for profile in PROFILES:
        state.traits.learn(profile.traits)
    codes = [state.new_viewer(profile).tobytes() for profile in PROFILES]
    words = Words.of(state, Vocabulary(["for_you", "following"]), 1)
    again = FeatureState(catalogue())
    Words.from_bytes(words.to_bytes()).restore(again)
    assert [again.new_viewer(profile).tobytes() for profile in reversed(PROFILES)] == codes[::-1]
    assert words.surfaces().words == ["", "for_you", "following"]
