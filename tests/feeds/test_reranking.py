"""Business rules, freshness and fatigue: each moves what it names, for as long as it holds, and says by how much."""

import json
import os

import numpy as np
import pytest

from core.batch import from_sources
from core.errors import InputError
from core.query import Query
from features.layout import DAY_MS, VIEWER_DTYPE
from feeds.boosts import Rule, RulesFile, parse_rules
from feeds.config import ForYouConfig
from feeds.explain import _adjustments
from feeds.reranking import ActiveRules, BoostScorer, FatigueScorer, FreshnessScorer, PinnedSource
from feeds.stages import ExplorationScorer
from tests.features.worldlet import catalogue

NOW_MS, UNTIL = 1_704_067_200_000, "2024-01-02T00:00:00Z"
GOOD = {"video": "v1", "factor": 1.5, "owner": "ana", "expires": UNTIL}


def query(**parts):
    return Query(viewer_id="a", surface="s", session_id="s", now_ms=NOW_MS, page=0, limit=5, seed=0, **parts)


def batch(**columns):
    n = len(next(iter(columns.values())))
    found = from_sources([(0, np.arange(n, dtype=np.int32))])
    return found.with_columns({name: np.asarray(column) for name, column in columns.items()})


def rules(*items):
    return parse_rules(json.dumps({"rules": list(items)}).encode(), "boosts.json")


def without(name, **changed):
    return {key: value for key, value in {**GOOD, **changed}.items() if key != name}


def test_a_rule_has_all_that_it_says():
    pin = {"author": "a2", "slot": 3, "owner": "bo", "starts": "2024-01-01T01:00:00+01:00", "expires": UNTIL}
    assert rules(GOOD, pin) == (
        Rule("v1", "", 1.5, -1, "ana", 0, NOW_MS + DAY_MS), Rule("", "a2", 1.0, 3, "bo", NOW_MS, NOW_MS + DAY_MS),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("item", "said"),
    [
        ("x", "is not an object"),
        (GOOD | {"color": 1}, "a field color, which no rule has"),
        (GOOD | {"author": "a1"}, "either a video or an author"),
        (without("video"), "either a video or an author"),
        (without("factor"), "either a factor or a slot"),
        (GOOD | {"slot": 1}, "either a factor or a slot"),
        (without("owner"), "needs a owner"),
        (GOOD | {"owner": ""}, "needs a owner"),
        (GOOD | {"video": 7}, "needs a video"),
        (GOOD | {"factor": -1}, "at least 0"),
        (GOOD | {"factor": True}, "at least 0"),
        (without("factor", slot=50), "from 0 to 49"),
        (without("factor", slot=1.5), "from 0 to 49"),
        (without("expires"), "needs expires"),
        (GOOD | {"expires": "soon"}, "needs expires"),
        (GOOD | {"expires": "2024-01-02T00:00:00"}, "without a time zone"),
        (GOOD | {"starts": UNTIL}, "expires before it starts"),
    ],
)
def test_each_malformed_rule_is_refused_in_one_sentence(item, said):
    with pytest.raises(InputError, match=said) as refusal:
        rules(GOOD, item)
    assert refusal.value.sentence.startswith("Rule 2 of boosts.json ") and "\n" not in refusal.value.sentence


@pytest.mark.parametrize("raw", [b"", b"[", b"\xff", b"[]", b"{}", b'{"rules": {}}'])
def test_a_file_that_is_no_list_of_rules_is_refused(raw):
    with pytest.raises(InputError, match=r"boosts\.json is not"):
        parse_rules(raw, "boosts.json")


def test_a_changed_file_is_read_again_and_a_broken_one_changes_nothing(tmp_path, caplog):
    path = tmp_path / "boosts.json"
    file = RulesFile(path)
    assert file.current() == ()
    path.write_text(json.dumps({"rules": [GOOD]}))
    assert [rule.video for rule in file.current()] == ["v1"]
    path.write_text("{")
    assert [rule.video for rule in file.current()] == ["v1"] and file.current()
    assert len(caplog.records) == 1 and "not valid JSON" in caplog.text
    path.unlink()
    assert file.current() == ()
    path.write_text("{")
    with pytest.raises(InputError):
        RulesFile(path)
    os.remove(path)


def test_rules_hold_from_their_start_until_before_their_end():
    table = catalogue()
    one = Rule("v3", "", 2.0, -1, "ana", NOW_MS, NOW_MS + 10)
    active = ActiveRules((one, Rule("", "a1", 3.0, -1, "bo", 0, 2 * NOW_MS)), table)
    listed = np.array([3, 1, 7, 2], np.int32)  # a1 has 1 and 7

    def factors(now_ms):
        return active.columns(listed, table.author[listed], now_ms)[0].tolist()

    assert factors(NOW_MS) == factors(NOW_MS + 9) == [2.0, 3.0, 3.0, 1.0]
    assert factors(NOW_MS - 1) == factors(NOW_MS + 10) == [1.0, 3.0, 3.0, 1.0]


def test_pins_bring_their_candidates_while_they_hold_and_unknown_names_none():
    table = catalogue()
    pins = (
        Rule("v30", "", 1.0, 2, "ana", 0, NOW_MS + 1), Rule("", "a1", 1.0, 0, "bo", 0, NOW_MS + 9),
        Rule("nothing", "", 1.0, 1, "ana", 0, NOW_MS + 9), Rule("", "nobody", 1.0, 1, "ana", 0, NOW_MS + 9),
    )  # fmt: skip
    active = ActiveRules(pins, table)
    own = np.flatnonzero(table.author == table.authors.code("a1")).tolist()
    assert PinnedSource(active).fetch(query()).tolist() == sorted([30, *own])
    assert PinnedSource(active).fetch(query().with_parts(now_ms=NOW_MS + 1)).tolist() == own
    assert PinnedSource(ActiveRules((), table)).fetch(query()).dtype == np.int32
    _, pin = active.columns(np.array([30, own[0], 2], np.int32), table.author[[30, own[0], 2]], NOW_MS)
    assert pin.tolist() == [2, 0, -1]


def test_a_factor_moves_a_score_up_also_below_zero():
    columns = {FatigueScorer.name: [2.0, -2.0, 2.0], "boost": [1.5, 1.5, 0.0]}
    assert BoostScorer().score(query(), batch(**columns)).tolist() == [3.0, -1.0, 0.0]


def test_freshness_halves_with_its_half_life():
    config = ForYouConfig(freshness_weight=0.4, freshness_half_life_ms=1_000)
    columns = {ExplorationScorer.name: [1.0, 1.0, 1.0], "upload_ms": [NOW_MS, NOW_MS - 1_000, NOW_MS - 3_000]}
    assert FreshnessScorer(config).score(query(), batch(**columns)).tolist() == pytest.approx([1.4, 1.2, 1.05])
    assert FreshnessScorer(ForYouConfig()).score(query(), batch(**columns)).tolist() == [1.0] * 3


def test_fatigue_counts_what_was_shown_and_decays():
    table = catalogue()  # author of video n is n % 6
    record = np.zeros(1, VIEWER_DTYPE)
    record["history_len"] = 4
    record["history_video"][0, :4] = [6, 12, 18, 1]
    record["history_time_ms"][0, :4] = [NOW_MS - 2_000, NOW_MS - 1_000, NOW_MS, NOW_MS]
    config = ForYouConfig(fatigue_weight=0.1, fatigue_free=1.0, fatigue_half_life_ms=1_000)
    asked = query(viewer_state=record, served=np.array([18, 24, 2, 999], np.int32))
    columns = {FreshnessScorer.name: [1.0, 1.0, 1.0, 1.0], "author": table.author[:4]}
    # author 0: 1/4 + 1/2 + 1 watched, 24 served and not watched: 2.75, 1.75 beyond the free one
    score = FatigueScorer(table, config).score(asked, batch(**columns))
    assert score.tolist() == pytest.approx([1 - 0.175, 1.0, 1.0, 1.0])
    assert FatigueScorer(table, ForYouConfig()).score(asked, batch(**columns)).tolist() == [1.0] * 4


def test_an_explanation_says_what_each_added():
    scores = {"value": 1.0, "explored": 1.5, "freshened": 1.75, "rested": 1.25, "boosted": 2.5, "thompson": 2.0}
    assert _adjustments(scores) == {
        "explored": 0.5, "freshened": 0.25, "rested": -0.5, "boosted": 1.25, "thompson": -0.5,
    }  # fmt: skip
