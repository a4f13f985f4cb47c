"""HistoryStore on SQLite: what each viewer has seen, and the likes, saves and dislikes that stand."""

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from backends.sqlite.database import Database
from core.catalogue import Reactions
from core.events import Impression, Watch
from core.history import DISLIKED, LIKED, REACTIONS, SAVED, Reaction
from core.ports import Record

_SCHEMA = """
CREATE TABLE IF NOT EXISTS seen (
  viewer TEXT NOT NULL, video TEXT NOT NULL, time_ms INTEGER NOT NULL, last_ms INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY (viewer, video)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS reactions (
  viewer TEXT NOT NULL, kind TEXT NOT NULL, video TEXT NOT NULL, stands INTEGER NOT NULL,
  time_ms INTEGER NOT NULL, offset INTEGER NOT NULL, PRIMARY KEY (viewer, kind, video)
) WITHOUT ROWID
"""
# The first sight gives the order and the last one the age, whatever the order in which events arrive.
_SEE = """
INSERT INTO seen VALUES (?, ?, ?, ?)
ON CONFLICT DO UPDATE SET time_ms = min(time_ms, excluded.time_ms), last_ms = max(last_ms, excluded.last_ms)
WHERE excluded.time_ms < time_ms OR excluded.last_ms > last_ms
"""
_LAST_MS = 2**63 - 1  # what SQLite holds; a log may say any number
_BETWEEN = "SELECT video FROM seen WHERE viewer = ? AND last_ms >= ? AND last_ms < ? ORDER BY last_ms, video"
# The last word counts: by event time, then by place on the log.
_REACT = """
INSERT INTO reactions VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT DO UPDATE SET stands = excluded.stands, time_ms = excluded.time_ms, offset = excluded.offset
WHERE (excluded.time_ms, excluded.offset) > (time_ms, offset)
"""


class SqliteHistoryStore:
    """HistoryStore whose seen lists of the viewers of the hour stay in memory, at most `cached_ids` ids in all."""

    def __init__(self, database: Database, cached_ids: int = 2_000_000) -> None:
        self._database = database
        self._cache = _SeenCache(cached_ids)
        self._version = -1
        database.create(_SCHEMA)
        if not database.rows("SELECT 1 FROM pragma_table_info('seen') WHERE name = 'last_ms'"):  # an older home
            database.create(
                "ALTER TABLE seen ADD COLUMN last_ms INTEGER NOT NULL DEFAULT 0; UPDATE seen SET last_ms = time_ms"
            )
        database.on_rollback(self._cache.clear)

    async def record(self, records: Sequence[Record]) -> None:
        """Apply viewer events in any order and any number of times."""
        sights: dict[tuple[str, str], tuple[int, int]] = {}
        reactions: list[tuple[str, str, str, int, int, int]] = []
        for record in records:
            event = record.event
            if not event.viewer_id:
                continue
            if isinstance(event, Impression | Watch):
                key, at_ms = (event.viewer_id, event.video_id), min(event.time_ms, _LAST_MS)
                first_ms, last_ms = sights.get(key, (at_ms, at_ms))
                sights[key] = min(first_ms, at_ms), max(last_ms, at_ms)
            elif isinstance(event, Reaction):
                kind, stands = REACTIONS[type(event)]
                place = (event.viewer_id, kind, event.video_id)
                reactions.append((*place, stands, event.time_ms, record.offset))
        self._write(sights, reactions)

    def _write(
        self,
        sights: dict[tuple[str, str], tuple[int, int]],
        reactions: list[tuple[str, str, str, int, int, int]],
    ) -> None:
        if not sights and not reactions:
            return
        seen = sorted((*key, *times) for key, times in sights.items())
        with self._database.transaction():
            self._database.execute_many(_SEE, seen)
            self._database.execute_many(_REACT, sorted(reactions))
            self._cache.add([sight[:3] for sight in seen])

    async def seen(self, viewer_id: str) -> list[str]:
        """Video ids, oldest first sight first. The list is a copy."""
        version = self._database.data_version()
        if version != self._version:  # another process has written
            self._cache.clear()
            self._version = version
        kept = self._cache.get(viewer_id)
        if kept is None:
            rows = self._database.rows(
                "SELECT video, time_ms FROM seen WHERE viewer = ? ORDER BY time_ms, video",
                (viewer_id,),
            )
            kept = self._cache.put(viewer_id, rows)
        return kept.copy()

    async def seen_between(self, viewer_id: str, from_ms: int, until_ms: int) -> list[str]:
        """Video ids by their last sight, oldest first."""
        return [video for (video,) in self._database.rows(_BETWEEN, (viewer_id, from_ms, until_ms))]

    async def reactions(self, viewer_id: str) -> Reactions:
        """Likes, saves and dislikes that stand."""
        rows = self._database.rows("SELECT kind, video FROM reactions WHERE viewer = ? AND stands", (viewer_id,))
        return Reactions(
            liked=frozenset(video for kind, video in rows if kind == LIKED),
            saved=frozenset(video for kind, video in rows if kind == SAVED),
            disliked=frozenset(video for kind, video in rows if kind == DISLIKED),
        )


@dataclass(slots=True)
class _Seen:
    """One viewer's list, the same as a set, and the time of its last entry."""

    videos: list[str]
    known: set[str]
    last_ms: int


class _SeenCache:
    """Seen lists by viewer, the least recently used dropped when there are too many ids."""

    def __init__(self, most_ids: int) -> None:
        self._most = most_ids
        self._ids = 0
        self._by_viewer: OrderedDict[str, _Seen] = OrderedDict()

    def get(self, viewer: str) -> list[str] | None:
        """The viewer's list, None when it must be read."""
        kept = self._by_viewer.get(viewer)
        if kept is None:
            return None
        self._by_viewer.move_to_end(viewer)
        return kept.videos

    def put(self, viewer: str, rows: Sequence[tuple[str, int]]) -> list[str]:
        """Keep what was read; the list."""
        videos = [video for video, _ in rows]
        self._by_viewer[viewer] = _Seen(videos, set(videos), rows[-1][1] if rows else 0)
        self._ids += len(videos)
        self._shrink()
        return videos

    def add(self, seen: Iterable[tuple[str, str, int]]) -> None:
        """Write through for the viewers that are kept; a sight out of order makes theirs be read again."""
        if not self._by_viewer:
            return
        ours = [entry for entry in seen if entry[0] in self._by_viewer]
        for viewer, video, time_ms in sorted(ours, key=lambda entry: (entry[2], entry[1])):
            kept = self._by_viewer.get(viewer)
            if kept is None:
                continue
            if time_ms <= kept.last_ms:
                self._drop(viewer)
            elif video not in kept.known:
                kept.videos.append(video)
                kept.known.add(video)
                kept.last_ms = time_ms
                self._ids += 1
        self._shrink()

    def clear(self) -> None:
        """Forget everything."""
        self._by_viewer.clear()
        self._ids = 0

    def _drop(self, viewer: str) -> None:
        self._ids -= len(self._by_viewer.pop(viewer).videos)

    def _shrink(self) -> None:
        while self._ids > self._most and len(self._by_viewer) > 1:
            self._drop(next(iter(self._by_viewer)))
