"""Reads a Following page from the viewer's inbox, and pulls what it cannot hold.

An inbox is trusted for an author where the author was followed when it was built, pushes to everyone (or to active
users, and the map that holds is the one that had the viewer then), in the epoch of its building. Everyone else who is
followed is pulled. Once it is full it is trusted down to its oldest video, and what lies below is pulled.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

import msgspec
import numpy as np

from core.arrays import Int32
from core.clock import Clock
from core.errors import Unavailable
from core.fanout import ACTIVE, PUSH, FanoutLedger, Inbox, Inboxes, Rules
from core.ports import Tables
from core.video_table import PUBLIC
from feeds.active_users import ActiveUsers
from feeds.author_rows import AuthorRows, Place, author_codes
from feeds.fanout import Catalogue, FanoutConfig, includes

INBOX, MIXED, PULLED, BUILT, AWAY = "inbox", "mixed", "pulled", "built", "away"


class Note(msgspec.Struct, frozen=True, array_like=True):
    """What an inbox stands on: the epoch, the map of active users and whether it had the viewer, when it was built, and
    whom they followed."""

    epoch: str
    map: str
    active: bool
    built_ms: int
    follows: frozenset[str]


_decode: Final = msgspec.msgpack.Decoder(Note).decode


@dataclass(slots=True)
class FollowingInbox:
    """The hybrid way to the same page that a pull of everyone gives; `count` is told which way a page came."""

    config: FanoutConfig
    catalogue: Catalogue
    rows: AuthorRows
    inboxes: Inboxes
    ledger: FanoutLedger
    active: ActiveUsers
    tables: Tables
    clock: Clock
    new_token: Callable[[], str]
    later: Callable[[Awaitable[None]], None]
    count: Callable[[str], None]
    deadline_ms: int
    _building: set[str] = field(default_factory=set)

    async def newest(
        self, viewer_id: str, authors: Sequence[str], limit: int, below: Place | None, region: str | None = None
    ) -> Int32:
        """The newest public videos of these authors below a place, in strict order; in no region's view where it is
        None. [<= limit] int32"""
        config = self.config
        inbox_read = self.inboxes.read(viewer_id, config.inbox_videos, config.idle_ms)
        reading = asyncio.gather(inbox_read, self.ledger.rules(authors))
        try:
            inbox, rules = await asyncio.wait_for(reading, self.deadline_ms / 1000)
        except (Unavailable, TimeoutError):
            return self._pulled(AWAY, authors, limit, below, region)
        note = self._trusted(inbox, rules)
        if inbox is None or note is None:
            if rules.epoch:
                self._build_later(viewer_id)
            return self._pulled(BUILT, authors, limit, below, region)
        tiers = zip(authors, rules.tiers, strict=True)
        aside = [author for author, tier in tiers if not _held(note, rules, author, tier.tier)]
        rows = self._merged(self._in(inbox, authors, below, region), aside, limit, below, region)
        if len(inbox.videos) >= config.inbox_videos:
            least_ms = inbox.videos[-1][1]
            if len(rows) < limit or self.catalogue.table.upload_ms[rows[-1]] <= least_ms:
                if below is None:
                    self._build_later(viewer_id)
                return self._pulled(PULLED, authors, limit, below, region)
        self._renew(viewer_id, note, rules, aside)
        self.count(MIXED if aside else INBOX)
        return rows

    async def build(self, viewer_id: str) -> None:
        """Build the inbox from the catalogue.

        What a pusher passes over because the inbox is not there yet, it had noted in the ledger before; so it is in a
        catalogue that includes all that is noted once the inbox is there. Where ours does not, nobody reads this one.
        """
        relations, rules = await asyncio.gather(self.tables.relations(viewer_id), self.ledger.rules([]))
        active = await self.active.one(rules.active, viewer_id)
        token = self.new_token()
        await self.inboxes.begin(viewer_id, token, self.config.idle_ms)
        begun = await self.ledger.begun()
        if not includes(self.catalogue, begun):
            await self.catalogue.advance()
            if not includes(self.catalogue, begun):
                return
        rows = self.rows.newest(author_codes(self.catalogue.table, relations.follows), self.config.inbox_videos)
        videos = {video_id: upload_ms for upload_ms, video_id in map(self.rows.place, rows.tolist())}
        note = Note(rules.epoch, rules.active, active, self.clock(), frozenset(relations.follows))
        packed, config = msgspec.msgpack.encode(note), self.config
        await self.inboxes.fill(viewer_id, token, packed, videos, config.inbox_videos, config.idle_ms)

    def _trusted(self, inbox: Inbox | None, rules: Rules) -> Note | None:
        """The note of an inbox that holds; None where it is of another epoch, too old, or none of ours."""
        try:
            note = _decode(inbox.note) if inbox is not None else None
        except msgspec.DecodeError:
            return None
        aged = note is not None and not 0 <= self.clock() - note.built_ms <= self.config.most_age_ms
        return None if note is None or aged or not rules.epoch or note.epoch != rules.epoch else note

    def _in(self, inbox: Inbox, authors: Sequence[str], below: Place | None, region: str | None) -> list[int]:
        """Rows of what the inbox holds of these authors and may be shown."""
        table, wanted = self.catalogue.table, set(author_codes(self.catalogue.table, authors).tolist())
        rows = table.rows([video_id for video_id, _ in inbox.videos])
        rows = rows[rows >= 0]
        seen = table.visibility[rows] if region is None else table.visibility_in(rows, region)
        return [
            row
            for row in rows[seen == PUBLIC].tolist()
            if int(table.author[row]) in wanted and (below is None or self.rows.place(row) < below)
        ]

    def _merged(
        self, held: Sequence[int], aside: Sequence[str], limit: int, below: Place | None, region: str | None
    ) -> Int32:
        """The newest of what is held and of what the authors aside have; one that comes both ways is one."""
        codes = author_codes(self.catalogue.table, aside)
        pulled = self.rows.newest(codes, limit, below, region).tolist() if aside else []
        both = sorted({*held, *pulled}, key=self.rows.place, reverse=True)
        return np.asarray(both[:limit], np.int32)

    def _pulled(self, way: str, authors: Sequence[str], limit: int, below: Place | None, region: str | None) -> Int32:
        self.count(way)
        return self.rows.newest(author_codes(self.catalogue.table, authors), limit, below, region)

    def _renew(self, viewer_id: str, note: Note, rules: Rules, aside: Sequence[str]) -> None:
        """Build it anew where a new one could hold more."""
        new_follow = any(author not in note.follows for author in aside)
        if new_follow or (note.map != rules.active and any(tier.tier == ACTIVE for tier in rules.tiers)):
            self._build_later(viewer_id)

    def _build_later(self, viewer_id: str) -> None:
        if viewer_id not in self._building:
            self._building.add(viewer_id)
            self.later(self._built(viewer_id))

    async def _built(self, viewer_id: str) -> None:
        try:
            await self.build(viewer_id)
        finally:
            self._building.discard(viewer_id)


def _held(note: Note, rules: Rules, author: str, tier: int) -> bool:
    """Whether all that the author published is in an inbox with this note."""
    if author not in note.follows:
        return False
    return tier == PUSH or (tier == ACTIVE and note.active and note.map == rules.active)
