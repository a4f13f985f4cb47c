"""The board of what may be the best leaves out what the viewer does not understand."""

import numpy as np

from candidate_gen.boards import ranked_board
from candidate_gen.sources import BoardSourceConfig, PromisingSource
from core.events import VideoPublished
from core.query import Query
from core.video_table import VideoTable
from features.layout import VIEWER_DTYPE

LANGUAGES = ("en", "fr", "", "en", "fr", "de")


def table_of(languages):
    table = VideoTable()
    for row, language in enumerate(languages):
        table.publish(
            VideoPublished(
                event_id=f"e{row}", viewer_id="a", time_ms=1, video_id=f"v{row}", author_id="a", length_ms=1000,
                upload_ms=1, topic="t", language=language, region=("north", "south")[row % 2], thumbnail_cluster="c",
            )
        )  # fmt: skip
    return table


def rows_for(spoken, quota=10, region="", seen=()):
    """Rows of a source over six videos of which the first is the most promising, for a viewer of these languages."""
    table, state = table_of(LANGUAGES), np.zeros(1, VIEWER_DTYPE)
    codes = [table.languages.code(language) for language in spoken]
    state["profile"][0, 1 : 1 + len(codes)] = codes
    board = ranked_board(np.arange(6, 0, -1).astype(np.float64), table.region, 10)
    source = PromisingSource(board, table, BoardSourceConfig(quota=quota))
    query = Query(
        viewer_id="u", surface="for_you", session_id="s", page=0, limit=5, now_ms=1, seed=0, region=region,
        viewer_state=state, seen=np.asarray(seen, np.int32),
    )  # fmt: skip
    return source.fetch(query).tolist()


def test_only_videos_in_a_spoken_language_or_in_none_are_promising():
    assert rows_for(["en"]) == [0, 2, 3]
    assert rows_for(["fr", "de"]) == [1, 2, 4, 5]


def test_a_viewer_of_unknown_languages_gets_the_whole_board():
    assert rows_for([]) == [0, 1, 2, 3, 4, 5]


def test_the_quota_is_filled_with_what_is_understood_and_not_seen_the_own_region_first():
    assert rows_for(["en"], quota=2, seen=[0]) == [2, 3]
    # Of the spoken ones 3 is the only one from the south, which has half of the four that are asked for.
    assert rows_for(["en"], quota=4, region="south") == [3, 0, 2]
