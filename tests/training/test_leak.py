"""The leak check: permuted outcomes cannot be ranked from a frozen state, and can from running counters."""

import numpy as np

from core.video_table import Vocabulary
from features.batch import BatchDriver
from features.columns import columns_of
from features.definitions import NAMES
from features.layout import OP
from features.state import FeatureState
from tests.features.worldlet import catalogue, history
from training.leak import leak_check, permuted
from training.protocol import rolling_origin
from training.split import day_of


def driver_of(impressions, viewers):
    """A driver over a random log, whose steps are short enough for lists of some length."""
    table, rows = catalogue(), {}
    columns = columns_of(history(table, impressions, viewers), table, rows, Vocabulary())
    fast = (columns.time_ms - columns.time_ms[0]) // 30 + columns.time_ms[0]
    columns.time_ms[:] = fast
    return BatchDriver(FeatureState(table), columns, rows)


def test_outcomes_move_within_a_viewers_day_and_nothing_else_does():
    driver = driver_of(400, 5)
    events, day = driver.events, driver.events.time_ms // 86_400_000
    moved = permuted(events, day, np.random.default_rng(0))
    watch = events.op == OP["watch"]
    assert (moved.play_ms[~watch] == events.play_ms[~watch]).all() and (moved.time_ms == events.time_ms).all()
    assert (moved.play_ms != events.play_ms).any()
    for viewer in range(5):
        for one in np.unique(day):
            mine = watch & (events.viewer == viewer) & (day == one)
            pairs = [sorted(zip(e.play_ms[mine], e.long_view[mine], strict=True)) for e in (events, moved)]
            assert pairs[0] == pairs[1]


def test_running_counters_give_permuted_labels_away_and_a_frozen_state_does_not():
    driver = driver_of(9_000, 60)
    day = day_of(driver.events.time_ms[driver.events.op == OP["impression"]], 0.0)
    (fold,) = rolling_origin(day, [int(np.unique(day)[-2])])
    mine = [NAMES.index(name) for name in ("viewer_long_views_rate_1d", "viewer_watches_1d", "length_s", "age_h")]
    live = leak_check(driver, fold, lambda rows: rows.features[:, mine], 0.0, 2, seed=0, live=True)
    still = leak_check(driver, fold, lambda rows: rows.features[:, mine], 0.0, 4, seed=0)
    assert not all(report.clean for report in live)
    assert all(report.clean for report in still)
