"""The check of benchmarks/stream.py: what the stream left online beside one plain count of the same topic."""

import numpy as np

from core.events import decode
from core.ports import Record
from core.topics import USER_INTERACTION
from core.video_table import Vocabulary
from features.columns import columns_of
from features.counting import count_events
from features.layout import COUNTS_DTYPE, VIEWER_DTYPE
from features.packed import pack_rows, record_of, unstamped
from features.state import FeatureState

PAGE = 5_000


async def check(parts):
    """Every viewer's row to the last bit, and every video's lifetime totals; how many rows were compared."""
    await parts.catalogue.load()
    await parts.catalogue.advance()
    state, rows = FeatureState(parts.catalogue.table), 0
    state.ensure()
    for partition, end in enumerate(await parts.ends(USER_INTERACTION)):
        rows += await _viewers(parts, state, partition, end)
    return rows + await _videos(parts, state)


async def _viewers(parts, state, partition, end):
    viewers, records, versions, after = {}, np.zeros(0, VIEWER_DTYPE), {}, 0
    while after < end:
        entries = await parts.log.read(USER_INTERACTION, partition, after, PAGE)
        after = entries[-1].offset
        events = [Record(entry.offset, decode(entry.value)) for entry in entries]
        columns = columns_of(events, state.table, viewers, Vocabulary())
        records = np.concatenate([records, np.zeros(len(viewers) - len(records), VIEWER_DTYPE)])
        count_events(state, columns, records)
        versions.update((record.event.viewer_id, record.offset) for record in events)
    found = await parts.features.read("viewer", list(viewers))
    for name, due, raw in zip(viewers, pack_rows(records), found, strict=True):
        assert raw is not None and unstamped(raw) == unstamped(due), f"the row of viewer {name} differs"
        assert record_of(raw, VIEWER_DTYPE)[0]["version"] == versions[name], f"the row of viewer {name} is not the last"
    return len(viewers)


async def _videos(parts, state):
    ids = state.table.video_ids
    touched = np.flatnonzero(state.videos.records["totals"][: len(ids)].any(axis=1)).tolist()
    found = await parts.features.read("video", [ids[row] for row in touched])
    for row, raw in zip(touched, found, strict=True):
        assert raw is not None, f"video {ids[row]} has no row"
        due = state.videos.records["totals"][row]
        assert (record_of(raw, COUNTS_DTYPE)[0]["totals"] == due).all(), f"the totals of video {ids[row]} differ"
    return len(touched)
