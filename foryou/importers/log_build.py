"""A chunk of a log of wide rows as events, with the videos and users that only the log knows."""

from collections.abc import Sequence
from typing import Any

from core.catalogue import ViewerRecord
from core.events import Event
from core.ports import Tables
from foryou.importers.catalogue import Catalogue, made_up_video, named, rejected
from foryou.importers.mapping import Mapping
from foryou.importers.rows import RowChecker, Rows
from foryou.importers.stream import Built
from foryou.importers.wide import events_of


class LogBuild:
    """Makes events of impressions; `make_videos` and `make_users` fill what no file beside the log describes."""

    def __init__(
        self,
        source: str,
        mapping: Mapping,
        catalogue: Catalogue,
        tables: Tables,
        now_ms: int,
        make_videos: bool = False,
        make_users: bool = False,
    ) -> None:
        self._source, self._catalogue, self._tables = source, catalogue, tables
        self._checker = RowChecker(mapping, catalogue.lengths, now_ms)
        self._make_videos, self._make_users = make_videos, make_users
        self.remember = make_videos or make_users
        self.users: set[str] = set()

    async def build(self, batch: Any) -> Built:
        """The events of the good rows, in their order, after the publication of videos not met before."""
        rows, reasons = self._checker.check(batch)
        videos = self._videos(rows) if self._make_videos else []
        notes = {"videos made up": len(videos)} if videos else {}
        if self._make_users:
            made = await self._users(rows)
            notes.update({"users made up": made} if made else {})
        events, first, authorless = events_of(self._source, rows, self._catalogue.authors)
        if authorless:
            notes["follows and hides without an author"] = authorless
        return Built(
            [*videos, *events], [place + len(videos) for place in first], rejected(reasons), rows.clamped, notes
        )

    def _videos(self, rows: Rows) -> Sequence[Event]:
        known, made = self._catalogue.authors, []
        for row, video_id in enumerate(rows.texts["video_id"]):
            if video_id not in known:
                length_ms = int(rows.numbers["length_ms"][row])
                time_ms = int(rows.numbers["time_ms"][row])
                author = rows.texts["author_id"][row]
                video = made_up_video(self._source, video_id, author, length_ms, time_ms)
                self._catalogue.add(video)
                made.append(video)
        return made

    async def _users(self, rows: Rows) -> int:
        """Put viewers whom the tables do not know; how many are new to this import."""
        first: dict[str, int] = {}
        for row, viewer in enumerate(rows.texts["viewer_id"]):
            if viewer not in self.users:
                first.setdefault(viewer, row)
        ids = list(first)
        self.users.update(ids)
        stored = await self._tables.users(ids)
        times = rows.numbers["time_ms"]
        users = [
            named(ViewerRecord(user_id=viewer, signup_ms=int(times[first[viewer]]), made_up=("signup_ms",)))
            for viewer, user in zip(ids, stored, strict=True)
            if user is None
        ]
        await self._tables.put_users(users)
        return len(users)
