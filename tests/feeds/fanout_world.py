"""A small world of Following: two partitions of videos, a worker, a reader, and everything as late as chance has it."""

import asyncio
import contextlib
import itertools
import random
from dataclasses import dataclass, field

from backends.memory import MemoryBitmaps
from backends.memory_fanout import MemoryInboxes, MemoryLedger
from backends.sqlite.database import Database
from backends.sqlite.followers import SqliteFollowers
from backends.sqlite.tables import SqliteTables
from core.catalogue import Relations
from core.errors import Unavailable
from core.events import Follow, Unfollow, VideoPublished, VideoRemoved, VideoUpdated
from core.log import partition_of
from core.ports import Record
from core.video_table import PUBLIC, VideoTable
from feeds.active_users import ActiveConfig, ActiveUsers
from feeds.author_rows import AuthorRows
from feeds.fanout import Fanout, FanoutConfig
from feeds.following import followed
from feeds.following_inbox import FollowingInbox

START_MS = 1_700_000_000_000
CONFIG = FanoutConfig(push_below=3, active_up_to=5, inbox_videos=6)


class LateCatalogue:
    """Follows the world's log when it is told to; `stuck` keeps it from following."""

    def __init__(self, log):
        self._log, self._read, self.stuck = log, 0, False
        self.table, self.watermarks = VideoTable(), {}

    async def advance(self, at_least=0):
        while not self.stuck and self._read < len(self._log):
            partition, offset, event = self._log[self._read]
            self._read += 1
            if isinstance(event, VideoPublished):
                self.table.publish(event)
            elif isinstance(event, VideoUpdated):
                self.table.update(event)
            else:
                self.table.remove(event)
            self.watermarks[partition] = offset
        return self._read


class Jittered:
    """A port whose calls let others go first some times, before and after; `breaks` of a hundred fail."""

    def __init__(self, port, rng, breaks=0):
        self.port, self._rng, self.breaks = port, rng, breaks

    def __getattr__(self, name):
        async def call(*arguments, **named):
            await self._pause()
            if self._rng.randrange(100) < self.breaks:
                raise Unavailable("The store does not answer.")
            answer = await getattr(self.port, name)(*arguments, **named)
            await self._pause()
            if self._rng.randrange(100) < self.breaks:
                raise Unavailable("The store answered too late.")
            return answer

        return call

    async def _pause(self):
        for _ in range(self._rng.randrange(4)):
            await asyncio.sleep(0)


@dataclass
class World:
    folder: object
    seed: int
    config: FanoutConfig = CONFIG
    authors: int = 5
    viewers: int = 8
    log: list = field(default_factory=list)
    told: list = field(default_factory=list)
    ways: list = field(default_factory=list)

    def __post_init__(self):
        self.rng = random.Random(self.seed)
        self.now_ms, self.numbers = START_MS, itertools.count(1)
        self.offsets, self.delivered = {0: 0, 1: 0}, {0: 0, 1: 0}
        self.follows = {f"u{n}": {} for n in range(self.viewers)}
        self.blocks = {viewer: set() for viewer in self.follows}
        self.relations, self.related, self.forgotten = [], 0, 0
        database = Database(self.folder / f"w{self.seed}.db", durable=False)
        self.tables, self.followers = SqliteTables(database), SqliteFollowers(database)
        self.inboxes = Jittered(MemoryInboxes(self.clock), self.rng)
        self.ledger = Jittered(MemoryLedger(self.clock, self.name), self.rng)
        self.bitmaps = MemoryBitmaps(self.clock)
        self.catalogues = LateCatalogue(self.log), LateCatalogue(self.log)
        self.tasks = set()
        self.start_again()

    def clock(self):
        return self.now_ms

    def name(self):
        return f"n{next(self.numbers)}"

    def start_again(self):
        """New processes over what is kept."""
        active = ActiveUsers(self.bitmaps, self.ledger, self.ledger, self.clock, self.name, ActiveConfig())
        self.active = active
        self.worker = Fanout(
            self.config, self.catalogues[0], self.followers, self.inboxes, self.ledger, active, self._tell
        )
        reader = self.catalogues[1]
        self.rows = AuthorRows(reader.table)
        self.reader = FollowingInbox(
            self.config, reader, self.rows, self.inboxes, self.ledger, active, Jittered(self.tables, self.rng),
            self.clock, self.name, self._later, self.ways.append, 5_000,
        )  # fmt: skip

    async def _tell(self, updates):
        self.told += updates

    def _later(self, work):
        async def patiently():
            with contextlib.suppress(Unavailable):
                await work

        task = asyncio.ensure_future(patiently())
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def new_ledger(self):
        """The ledger is lost."""
        self.ledger.port = MemoryLedger(self.clock, self.name)

    # what people do

    def publish(self, author, upload_ms=None, video=None):
        video = video or f"v{next(self.numbers)}"
        partition = partition_of(video, 2)
        at_ms = self.now_ms if upload_ms is None else upload_ms
        self._append(
            partition,
            VideoPublished(
                event_id=self.name(), viewer_id=author, time_ms=self.now_ms, video_id=video, author_id=author,
                length_ms=1_000, upload_ms=at_ms,
            ),
        )  # fmt: skip
        return video

    def show(self, video, visibility):
        fields = {"event_id": self.name(), "viewer_id": "", "time_ms": self.now_ms, "video_id": video}
        self._append(partition_of(video, 2), VideoUpdated(visibility=visibility, **fields))

    def remove(self, video):
        self._append(
            partition_of(video, 2),
            VideoRemoved(event_id=self.name(), viewer_id="", time_ms=self.now_ms, video_id=video),
        )

    def _append(self, partition, event):
        self.offsets[partition] += 1
        self.log.append((partition, self.offsets[partition], event))

    def follow(self, viewer, author, stands=True):
        kind = Follow if stands else Unfollow
        event = kind(event_id=self.name(), viewer_id=viewer, author_id=author, time_ms=START_MS + next(self.numbers))
        self.relations.append(Record(len(self.relations) + 1, event))
        if stands:
            self.follows[viewer][author] = None
        else:
            self.follows[viewer].pop(author, None)

    # what processes do, late

    async def relate(self, upto=None):
        """The tables take in what people said."""
        end = len(self.relations) if upto is None else min(upto, len(self.relations))
        await self.tables.relate(self.relations[self.related : end])
        self.related = max(end, self.related)

    async def forget(self):
        """Inboxes of who unfollowed go, after the tables know."""
        left = [r for r in self.relations[self.forgotten :] if isinstance(r.event, Unfollow)]
        end = len(self.relations)
        await self.tables.relate(left)
        await self.inboxes.delete([record.event.viewer_id for record in left])
        self.forgotten = end

    async def deliver(self, partition, most=3, again=0):
        """The worker takes some messages of a partition; with `again` some that it has had before."""
        first = max(self.delivered[partition] - again, 0) + 1
        last = min(self.delivered[partition] + most, self.offsets[partition])
        if last < first:
            return
        changed = {e.video_id: offset for p, offset, e in self.log if p == partition and first <= offset <= last}
        await self.worker.deliver(partition, first, last, changed)
        self.delivered[partition] = max(last, self.delivered[partition])

    async def settle(self):
        """Everybody has done everything."""
        for port in (self.inboxes, self.ledger):
            port.breaks = 0
        for catalogue in self.catalogues:
            catalogue.stuck = False
        while self.tasks:
            await asyncio.gather(*self.tasks)
        await self.relate()
        await self.forget()
        for partition in self.offsets:
            while self.delivered[partition] < self.offsets[partition]:
                await self.deliver(partition, most=50)
        for catalogue in self.catalogues:
            await catalogue.advance()

    # what is seen

    async def page(self, viewer, limit=4, below=None):
        rows = await self.reader.newest(viewer, self.shown(viewer), limit, below)
        return [self.rows.place(row) for row in rows.tolist()]

    def shown(self, viewer):
        """The authors whose videos the viewer may see."""
        relations = Relations(follows=tuple(self.follows[viewer]), blocked=tuple(self.blocks[viewer]))
        return followed(relations)

    async def pages(self, viewer, limit=4):
        """Every page to the end."""
        found, below = [], None
        while page := await self.page(viewer, limit, below):
            found += page
            below = page[-1]
        return found

    def oracle(self, viewer):
        """What a look at the whole catalogue gives."""
        table = self.catalogues[1].table
        return sorted(
            (
                (int(table.upload_ms[row]), video)
                for row, video in enumerate(table.video_ids)
                if table.visibility[row] == PUBLIC and table.authors.words[table.author[row]] in self.shown(viewer)
            ),
            reverse=True,
        )
