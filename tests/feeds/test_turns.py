"""One page of a viewer at a time: within a process, over shared counters, and over the files of a home."""

import asyncio

import pytest

from backends.file_turns import FileTurns
from backends.memory import MemoryCounters
from core.errors import Unavailable
from feeds.turns import OwnTurns, SharedTurns


def shared():
    counters = MemoryCounters(lambda: 0)
    return SharedTurns(counters, 5_000), SharedTurns(counters, 5_000)


@pytest.mark.parametrize("kind", ["own", "shared", "files"])
def test_two_requests_of_a_viewer_are_never_in_the_block_at_once(kind, tmp_path):
    own = OwnTurns()
    one, other = {"own": (own, own), "shared": shared(),
                  "files": (FileTurns(tmp_path, 5_000), FileTurns(tmp_path, 5_000))}[kind]  # fmt: skip
    inside, most = 0, 0

    async def request(turns):
        nonlocal inside, most
        async with turns.of("ann"):
            inside += 1
            most = max(most, inside)
            await asyncio.sleep(0.002)
            inside -= 1

    async def all_of_them():
        await asyncio.gather(*(request(turns) for turns in (one, other) * 4))

    asyncio.run(all_of_them())
    assert most == 1


@pytest.mark.parametrize("kind", ["shared", "files"])
def test_who_waits_too_long_goes_on_without_a_turn(kind, tmp_path):
    counters = MemoryCounters(lambda: 0)
    one = SharedTurns(counters, 20) if kind == "shared" else FileTurns(tmp_path, 20)
    other = SharedTurns(counters, 20) if kind == "shared" else FileTurns(tmp_path, 20)

    async def both():
        async with one.of("ann"), other.of("ann"):
            return True

    assert asyncio.run(both())


def test_a_store_that_is_away_and_a_folder_that_cannot_be_written_cost_no_page(tmp_path):
    class Away:
        async def add(self, amounts, ttl_ms):
            raise Unavailable("away")

    (tmp_path / "file").write_text("")

    async def one(turns):
        async with turns.of("ann"):
            return True

    assert asyncio.run(one(SharedTurns(Away(), 20))) and asyncio.run(one(FileTurns(tmp_path / "file", 20)))
