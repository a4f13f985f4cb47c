"""The board of what may be the best: how a video was watched, and what is not known of it."""

import numpy as np
import pytest

from core.events import Watch
from feeds.config import ForYouConfig
from feeds.sources import promise
from tests.feeds.toy_feed import NOW_MS, ToyFeed

CONFIG = ForYouConfig(exploration_watches=3.0, promising_hope=0.2)


def watch(number, video, play_ms):
    return Watch(
        event_id=f"w{number}", viewer_id="bob", video_id=video, time_ms=NOW_MS, play_ms=play_ms, length_ms=10_000
    )


def test_an_unwatched_video_has_the_prior_and_the_whole_hope_and_each_watch_moves_both(tmp_path):
    toy = ToyFeed(tmp_path)
    toy.happen(watch(1, "v0", 10_000), *(watch(number, "v1", 0) for number in range(2, 11)))
    table = toy.state.table
    promised = promise(toy.state, NOW_MS, CONFIG)
    assert promised.shape == (len(table),)
    # The prior ratio is .4 and counts as 3 watches: (1 + 1.2) / 4 with hope .2 / root(4/3); 1.2 / 12 with .2 / root 4.
    assert promised[table.row("v0")] == pytest.approx(0.55 + 0.2 / (4 / 3) ** 0.5)
    assert promised[table.row("v1")] == pytest.approx(0.1 + 0.1)
    rest = np.delete(promised, [table.row("v0"), table.row("v1")])
    assert rest == pytest.approx(0.4 + 0.2)
