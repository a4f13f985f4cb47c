"""The role `trending` of a cluster's workers, published in the memory of this process."""

import asyncio

import pytest

from backends.memory import MemoryBytes
from core.clock import system_clock
from core.errors import ConfigError, Unavailable
from core.log import Message
from core.topics import TOPICS, USER_INTERACTION
from features.stream.lane import StageMetrics
from feeds.trending.published import PublishedTrends
from feeds.trending.work import TrendPlaces, TrendWork, TrendWorkConfig
from tests.contracts.trending import PARTITIONS, Town, TrendingContract


class TestTrendingInMemory(TrendingContract):
    async def open_cache(self):
        return MemoryBytes(system_clock)


class Away:
    """A cache that does not answer."""

    async def get(self, keys):
        raise Unavailable("The cache is away.")


def test_what_was_read_last_is_shown_while_the_cache_is_away(tmp_path):
    async def main():
        town = Town(tmp_path, MemoryBytes(system_clock), 24)
        await town.tell()
        await town.until_due(town.worker())

        async def partitions():
            return PARTITIONS

        source = PublishedTrends(town.cache, partitions, 5.0)
        counts, whole = await source.read("24h", 0)
        assert len(counts) and whole
        source._cache = Away()
        assert await source.read("24h", 0) == (counts, False)
        nothing, whole = await source.read("7d", 0)
        assert not len(nothing) and not whole

    asyncio.run(main())


def test_a_message_that_is_no_viewer_s_event_is_set_aside_and_the_rest_counts(tmp_path):
    async def main():
        town = Town(tmp_path, MemoryBytes(system_clock), 25)
        await town.log.append(USER_INTERACTION, [Message("x", b"no event", partition) for partition in range(3)])
        await town.tell()
        await town.until_due(town.worker())
        assert len(await town.log.read(TOPICS[USER_INTERACTION].dead_letters, 0, 0, 100)) == 3

    asyncio.run(main())


def test_counts_of_another_log_are_refused(tmp_path):
    async def main():
        town = Town(tmp_path, MemoryBytes(system_clock), 26)
        await town.tell()
        await town.until_due(town.worker())
        (tmp_path / "other").mkdir()
        other = Town(tmp_path / "other", town.cache, 26)
        states = town.worker()._work(0)._places
        places = TrendPlaces(states.states, states.cache, None, states.clock)
        work = TrendWork(0, other.log, places, StageMetrics(), TrendWorkConfig())
        with pytest.raises(ConfigError, match="of another log"):
            await work.open()

    asyncio.run(main())
