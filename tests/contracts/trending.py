"""What Trending on a cluster promises, on whatever its counts are published in: a recount of the log, whoever died."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from backends.blob_folder import FolderBlobStore
from backends.sqlite.database import Database
from backends.sqlite.message_log import SqliteMessageLog
from backends.sqlite.trend_state import SqliteTrendStates
from core.events import VIEWER_EVENTS, encode
from core.log import Message, MessageLog
from core.ports import Bytes
from core.topics import TOPICS, USER_INTERACTION
from core.trends import HOUR_MS
from core.video_table import VideoTable
from features.stream.loop import StageLoop
from features.stream.snapshots import Snapshots
from feeds.trending.board import BoardKey, make_board
from feeds.trending.config import TrendingConfig
from feeds.trending.published import PublishedTrends
from feeds.trending.work import TrendPlaces, TrendWorkConfig, trending
from tests.contracts.one_loop import OneLoop, Run
from tests.features.stream.cluster import CONFIG, Killed, Life, Mortal
from tests.feeds.trending_recount import Recount
from tests.feeds.trending_story import catalogue, story

PARTITIONS = 3
OFTEN = TrendWorkConfig(day_every_s=0.05, longer_every_s=0.05)
KEYS = [
    BoardKey(),
    BoardKey("spec", "7d"),
    BoardKey("spec", "30d", "US"),
    BoardKey("literal"),
    BoardKey("literal", region="US"),
]


class MortalCounts(Mortal):
    """Counts of a process that may be killed before or after one of its steps is durable."""

    @contextmanager
    def step(self) -> Iterator[None]:
        last = self._life._effect()
        if last and not self._life.after:
            self._life.dead = True
            raise Killed()
        with self._port.step():
            yield
        if last:
            self._life.dead = True
            raise Killed()


class MortalStates(Mortal):
    """The files of a process that may be killed."""

    def open_trend(self, name: str) -> MortalCounts:
        return MortalCounts(self._port.open_trend(name), self._life)


class Town:
    """A log with a story, the hosts of its workers, and what is published of them."""

    def __init__(self, folder: Path, cache: Bytes, seed: int, log: MessageLog | None = None) -> None:
        self.folder, self.cache = folder, cache
        names = {USER_INTERACTION: PARTITIONS, TOPICS[USER_INTERACTION].dead_letters: 1}
        self.log = log or SqliteMessageLog(Database(folder / "log.db", durable=False), names, lease_ms=400)
        self.events, self.now_ms = story(seed)
        self.told = [event for event in self.events if isinstance(event, VIEWER_EVENTS)]
        self.table: VideoTable = catalogue(self.events)
        self.blobs = FolderBlobStore(folder / "blobs")

    async def tell(self, share: float = 1.0) -> None:
        """Put a share of the story that was not told yet on the log."""
        count = int(len(self.told) * share)
        part, self.told = self.told[:count], self.told[count:]
        await self.log.append(USER_INTERACTION, [Message(event.viewer_id, encode(event)) for event in part])

    def worker(self, host: str = "a", life: Life | None = None) -> StageLoop:
        life = life or Life()
        states: Any = MortalStates(SqliteTrendStates(self.folder / host), life)
        snapshots = Snapshots(self.blobs, states, self.folder / host / "drafts")
        cache: Any = Mortal(self.cache, life, ("set",))
        return trending(self.log, TrendPlaces(states, cache, snapshots, lambda: self.now_ms), CONFIG, OFTEN)

    async def boards(self) -> tuple[dict[BoardKey, list[tuple[str, int]]], bool]:
        """What a replica that has just started shows, and whether it has all partitions."""

        async def partitions() -> int:
            return PARTITIONS

        source, boards, all_there = PublishedTrends(self.cache, partitions, 5.0), {}, True
        for key in KEYS:
            counts, whole = await source.read(key.window, self.now_ms // HOUR_MS)
            board = make_board(key, counts, self.table, self.now_ms, TrendingConfig())
            boards[key] = list(zip(board.video_ids, board.scores, strict=True))
            all_there &= whole
        return boards, all_there

    def due(self) -> dict[BoardKey, list[tuple[str, int]]]:
        recount = Recount(self.events)
        return {key: recount.board(self.now_ms, key.mode, key.time_range, key.region) for key in KEYS}

    async def until_due(self, *workers: StageLoop) -> None:
        """Run these until what is published is what a recount of the whole story says."""
        due, until = self.due(), time.monotonic() + 60
        assert sum(map(bool, due.values())) >= 3
        tasks = [asyncio.create_task(worker.run()) for worker in workers]
        try:
            while (await self.boards())[0] != due:
                for task in tasks:
                    if task.done():
                        task.result()
                assert time.monotonic() < until, (await self.boards(), due)
                await asyncio.sleep(0.05)
        finally:
            await ended(tasks)

    async def live(self, host: str, life: Life, seconds: float) -> bool:
        """Run a process that dies at its time, or is ended after these seconds; whether it died."""
        task = asyncio.create_task(self.worker(host, life).run())
        await asyncio.wait([task], timeout=seconds)
        outcome = (await ended([task]))[0]
        assert outcome is None or isinstance(outcome, Killed | asyncio.CancelledError), outcome
        return isinstance(outcome, Killed)


async def ended(tasks: list["asyncio.Task[None]"]) -> list[BaseException | None]:
    for task in tasks:
        task.cancel()
    return await asyncio.gather(*tasks, return_exceptions=True)


class TrendingContract(OneLoop):
    """Inherit it and give `open_cache`."""

    async def open_cache(self) -> Bytes:
        """An empty one, in the test's loop."""
        raise NotImplementedError

    @pytest.fixture
    def cache(self, run: Run) -> Bytes:
        return run(self.open_cache())

    def test_what_is_published_equals_a_recount_though_workers_die(
        self, run: Run, cache: Bytes, tmp_path: Path
    ) -> None:
        async def main() -> None:
            town, deaths = Town(tmp_path, cache, 21), 0
            for at, after in ((2, False), (5, True), (9, False), (4, True)):
                await town.tell(0.3)
                deaths += await town.live("a", Life(at, after), 2.0)
            assert deaths >= 3
            await town.tell()
            await town.until_due(town.worker("a"))

        run(main())

    def test_a_partition_that_moves_goes_on_from_its_snapshot(self, run: Run, cache: Bytes, tmp_path: Path) -> None:
        async def main() -> None:
            town = Town(tmp_path, cache, 22)
            await town.tell(0.6)
            await town.live("a", Life(), 2.0)
            assert SqliteTrendStates(tmp_path / "a").offset("trending-0") > 0
            await town.tell()
            await town.until_due(town.worker("b"))
            assert await town.blobs.list("work/trending-0/")

        run(main())

    def test_a_cache_that_lost_everything_gets_it_again(self, run: Run, cache: Bytes, tmp_path: Path) -> None:
        async def main() -> None:
            town = Town(tmp_path, cache, 23)
            boards, whole = await town.boards()
            assert not any(boards.values()) and not whole
            await town.tell()
            await town.until_due(town.worker("a"))
            windows = ("24h", "7d", "30d", "points")
            await cache.delete([f"{{trending.counts.{n}}}:{window}" for n in range(PARTITIONS) for window in windows])
            assert await town.boards() == (boards, False)
            await town.until_due(town.worker("a"))
            assert (await town.boards())[1]

        run(main())
