"""A small cluster in one process: a message log, an online store, and workers that can be killed at any effect."""

import asyncio

import numpy as np

from backends.blob_folder import FolderBlobStore
from backends.sqlite.database import Database
from backends.sqlite.feature_store import SqliteFeatureStore
from backends.sqlite.history_store import SqliteHistoryStore
from backends.sqlite.message_log import SqliteMessageLog
from backends.sqlite.partition_state import SqlitePartitionState, SqlitePartitionStates
from backends.sqlite.tables import SqliteTables
from backends.sqlite.video_store import SqliteVideoStore
from core.clock import system_clock
from core.topics import CATALOGUE, COUNTS, TOPICS, USER_INTERACTION, VIDEO_PROCESSED, VIDEO_STATE
from features.stream.catalogue import CatalogueFollower
from features.stream.kept_state import KeptConfig, Places
from features.stream.loop import StageConfig
from features.stream.sink import StreamSink
from features.stream.snapshots import Snapshots
from features.stream.viewer_stage import Inlet
from features.stream.worker import Worker, counters, history, registrar, relations, viewers

CONFIG = StageConfig(
    batch=40, poll=80, wait_ms=5, counts_apart_s=0.05, commit_every_s=0.02, first_retry_s=0.01, most_retry_s=0.05
)
KEPT = KeptConfig(hot_bytes=1 << 20, snapshot_every_s=0.2, publish_every_s=0.05, replaced_s=1.0)


class Killed(RuntimeError):
    """What a dead process's calls raise."""


class Life:
    """Counts the effects of a process and ends it at one of them, before or after it was done."""

    def __init__(self, dies_at=0, after=False):
        self.dies_at, self.after, self.count, self.dead = dies_at, after, 0, False
        self._running = []  # effects that threads are at

    def _effect(self):
        if self.dead:
            raise Killed()
        self.count += 1
        return self.count == self.dies_at

    async def around(self, call):
        last = self._effect()
        if last and not self.after:
            self.dead = True
            raise Killed()
        result = await call()
        if last or self.dead:
            self.dead = True
            raise Killed()
        return result

    def around_now(self, call):
        last = self._effect()
        if last and not self.after:
            self.dead = True
            raise Killed()
        self._running.append(None)
        try:
            result = call()
        finally:
            self._running.pop()
        if last:
            self.dead = True
            raise Killed()
        return result

    async def buried(self):
        """Until no thread of the dead process is at work: with a real one they end at once."""
        while self._running:
            await asyncio.sleep(0.01)


class Mortal:
    """A port whose named calls end with its process."""

    def __init__(self, port, life, calls=(), immediate=(), wrapped=()):
        self._port, self._life, self._calls, self._immediate, self._wrapped = port, life, calls, immediate, wrapped

    def __getattr__(self, name):
        found = getattr(self._port, name)
        if name in self._calls:
            return lambda *a, **k: self._life.around(lambda: found(*a, **k))
        if name in self._immediate:
            return lambda *a, **k: self._life.around_now(lambda: found(*a, **k))
        return found


class MortalLog(Mortal):
    def __init__(self, log, life):
        super().__init__(log, life, ("append",))

    async def join(self, group, topics, assignment=None):
        consumer = await self._port.join(group, topics, assignment)
        return Mortal(consumer, self._life, ("poll", "commit", "reject", "close"))


class MortalStates(Mortal):
    def open(self, name):
        return Mortal(self._port.open(name), self._life, immediate=("commit",))


class Cluster:
    """The shared servers, and the folders of hosts."""

    def __init__(self, folder, partitions=3, lease_ms=400):
        self.folder = folder
        names = dict.fromkeys((VIDEO_PROCESSED, USER_INTERACTION, COUNTS, VIDEO_STATE), partitions)
        names |= {CATALOGUE: 1} | {TOPICS[name].dead_letters: 1 for name in TOPICS}
        self.partitions = partitions
        self.log = SqliteMessageLog(Database(folder / "log.db", durable=False), names, lease_ms=lease_ms)
        self.online_database = Database(folder / "online.db", durable=False)
        self.online = SqliteFeatureStore(self.online_database, "schema")
        self.stores = Database(folder / "stores.db", durable=False)
        self.history, self.tables = SqliteHistoryStore(self.stores), SqliteTables(self.stores)
        self.blobs = FolderBlobStore(folder / "blobs")
        self.sink = StreamSink(self.log)

    def states(self, host="a"):
        return SqlitePartitionStates(self.folder / host / "work")

    def follower(self, host="a"):
        """A new process's view of the catalogue, in its host's files."""
        database = Database(self.folder / host / "catalogue.db", durable=False)
        store, journal = SqliteVideoStore(database), SqlitePartitionState(database)
        return CatalogueFollower(self.log, store, journal, database.transaction)

    def worker(self, host="a", life=None, kept=KEPT, config=CONFIG, online=None):
        """A process with every role."""
        life = life or Life()
        log = MortalLog(self.log, life)
        states = MortalStates(self.states(host), life)
        online = Mortal(online or self.online, life, ("write", "marks"))
        snapshots = Snapshots(Mortal(self.blobs, life, ("put", "delete")), states, self.folder / host / "drafts")
        inlet, places = Inlet(log, self.follower(host)), Places(states, online, snapshots)
        roles = {
            "registrar": registrar(log, config),
            "viewers": viewers(inlet, places, config, kept),
            "counters": counters(inlet, places, config, kept),
            "history": history(log, Mortal(self.history, life, ("record",)), config),
            "relations": relations(log, Mortal(self.tables, life, ("relate",)), config),
        }
        return Worker(roles, inlet)

    async def ends(self, topic):
        return [bounds.last for bounds in await self.log.bounds(topic)]

    async def settled(self, hosts=("a",)):
        """Whether every event and every batch has been counted."""
        for topic, role in ((USER_INTERACTION, "viewer"), (COUNTS, "counter")):
            for partition, end in enumerate(await self.ends(topic)):
                if max(self.states(host).offset(f"{role}-{partition}") for host in hosts) < end:
                    return False
        sql = "SELECT sum(offset) FROM message_commits WHERE name = ? AND topic = ?"
        for group, topic in (("catalogue", VIDEO_PROCESSED), ("history", USER_INTERACTION)):
            found = self.log._database.row(sql, (group, topic))
            if (found[0] or 0) < sum(await self.ends(topic)):
                return False
        return True

    async def looked_after(self, since_ms):
        """Whether every partition that has rows had them looked at by who took it since."""
        names = [f"{role}:{partition}" for role in ("viewer", "counter") for partition in range(self.partitions)]
        marks = await self.online.marks(names)
        signatures = await self.online.marks([f"{name}:writer" for name in names])
        return all(signature >> 20 >= since_ms for mark, signature in zip(marks, signatures, strict=True) if mark)

    async def rest(self, *workers, hosts=("a",), limit_s=60.0):
        """Run workers until all is counted and looked after, then end them in order; a dead one is left alone."""
        since_ms = system_clock()
        tasks = [asyncio.create_task(worker.run()) for worker in workers]
        until = asyncio.get_running_loop().time() + limit_s
        try:
            while not (await self.settled(hosts) and await self.looked_after(since_ms)):
                for task in tasks:
                    if task.done():
                        task.result()
                assert asyncio.get_running_loop().time() < until, "not settled"
                await asyncio.sleep(0.02)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def rows(self):
        """What the online store holds, by entity and id."""
        entities = ("viewer", "video", "author", "trend")
        return {(entity, key): raw for entity in entities for key, raw in await self.online.scan(entity)}


def permuted(items, rng):
    """Items in another order."""
    return [items[n] for n in np.argsort(rng.random(len(items)), kind="stable")]
