"""Interactions on SQLite: one row for each event; hours are counted when they are asked for."""

from collections.abc import Sequence

from backends.sqlite.database import Database
from core.events import VIEWER_EVENTS, kind_of
from core.history import HOUR_MS, ActivityHour, Interaction, days_of
from core.ports import Record

_SCHEMA = """
CREATE TABLE IF NOT EXISTS interactions (
  viewer TEXT NOT NULL, time_ms INTEGER NOT NULL, kind TEXT NOT NULL, video TEXT NOT NULL, event_id TEXT NOT NULL,
  PRIMARY KEY (viewer, time_ms, kind, video, event_id)
) WITHOUT ROWID
"""


class SqliteInteractions:
    """Interactions in a table of their own: nothing that the embedded product serves needs it beside the log."""

    def __init__(self, database: Database) -> None:
        self._database = database
        database.create(_SCHEMA)

    async def record(self, records: Sequence[Record]) -> None:
        """Keep viewer events in any order and any number of times."""
        rows = {
            (event.viewer_id, event.time_ms, kind_of(event), getattr(event, "video_id", ""), event.event_id)
            for event in (record.event for record in records)
            if isinstance(event, VIEWER_EVENTS) and event.viewer_id
        }
        if rows:
            self._database.execute_many("INSERT OR IGNORE INTO interactions VALUES (?, ?, ?, ?, ?)", sorted(rows))

    async def interactions(self, viewer_id: str) -> list[Interaction]:
        """Everything that is kept of a viewer, oldest first."""
        sql = "SELECT time_ms, kind, video, event_id FROM interactions WHERE viewer = ? ORDER BY 1, 2, 3, 4"
        return [Interaction(*row) for row in self._database.rows(sql, (viewer_id,))]

    async def activity(self, viewer_id: str, from_ms: int, until_ms: int) -> list[ActivityHour]:
        """The hours with events that began in [from_ms, until_ms)."""
        days_of(from_ms, until_ms)
        begin, end = (-(-moment // HOUR_MS) * HOUR_MS for moment in (from_ms, until_ms))
        sql = f"""
        SELECT time_ms / {HOUR_MS} * {HOUR_MS}, kind, count(*) FROM interactions
        WHERE viewer = ? AND time_ms >= ? AND time_ms < ? GROUP BY 1, 2 ORDER BY 1, 2
        """
        return [ActivityHour(*row) for row in self._database.rows(sql, (viewer_id, begin, end))]

    async def compact(self, closed_ms: int) -> int:
        """Nothing: counting a viewer's rows is as cheap as reading sums."""
        return 0
