"""What a cluster's slates and its intake promise, whatever cache and log stand behind them."""

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest

from backends.sqlite.database import Database
from backends.sqlite.slate_outbox import SqliteSlateOutbox
from core.clock import system_clock
from core.errors import Unavailable
from core.events import decode
from core.log import MAX_MESSAGE_BYTES, MessageLog
from core.ports import Bytes, Ranked, Record
from core.slate import SlateDetail
from core.topics import SLATES, USER_INTERACTION
from features.stream.sink import StreamSink
from feeds.known_ids import RecognisingSink
from feeds.shared_slates import OwnSlatesAlone, SharedSlates, SlateMessage, SlateShipper
from tests.contracts.events import DAY_MS, like
from tests.contracts.one_loop import OneLoop, Run
from tests.contracts.slate_store import slate

DEADLINE_MS = 300
# Two steps of an append wait for the cache; the rest is the shared machine's.
PATIENCE_S = 2 * DEADLINE_MS / 1000 + 0.7
LATER_MS = 2 * DAY_MS


@dataclass
class Replica:
    """One process that serves: its own outbox, and what it shares with its siblings."""

    file: Database
    outbox: SqliteSlateOutbox
    slates: SharedSlates
    shipper: SlateShipper
    events: RecognisingSink
    heard: list[str]


class ClusterSlatesContract(OneLoop):
    """Inherit it and give what the replicas share, and ways to take it away from them."""

    cache: Bytes
    ranked: Ranked
    log: MessageLog

    async def open_shared(self, folder: Path) -> None:
        """Set `cache`, `ranked` and `log`, all empty."""
        raise NotImplementedError

    async def hang_cache(self) -> None:
        """The cache takes what it is sent and answers nothing."""
        raise NotImplementedError

    async def resume_cache(self) -> None:
        """It answers again."""
        raise NotImplementedError

    async def stop_cache(self) -> None:
        """The cache is away."""
        raise NotImplementedError

    async def start_cache(self) -> None:
        """It is back, with all that it acknowledged."""
        raise NotImplementedError

    async def stop_log(self) -> None:
        """The log does not answer."""
        raise NotImplementedError

    async def start_log(self) -> None:
        """It does again, with all that it acknowledged."""
        raise NotImplementedError

    @pytest.fixture(autouse=True)
    def _shared(self, run: Run, tmp_path: Path) -> None:
        self.folder = tmp_path
        run(self.open_shared(tmp_path))

    def replica(self, name: str) -> Replica:
        """A replica; the same name again is the same one, restarted."""
        file = Database(self.folder / f"slates-{name}.db", durable=True)
        outbox, heard = SqliteSlateOutbox(file), list[str]()

        async def after(records: Sequence[Record]) -> None:
            heard.extend(record.event.event_id for record in records)

        return Replica(
            file,
            outbox,
            SharedSlates(outbox, self.ranked, self.cache, DEADLINE_MS, system_clock),
            SlateShipper(outbox, self.log, lambda: LATER_MS),
            RecognisingSink(StreamSink(self.log), self.cache, after, DEADLINE_MS),
            heard,
        )

    async def serve(self, at: Replica, numbers: range) -> list[str]:
        """Serve slates with their details; their ids."""
        for number in numbers:
            await at.slates.append(slate(number))
            await at.slates.detail(SlateDetail(slate_id=f"slate-{number}", served=b"rows %d" % number))
        return [f"slate-{number}" for number in numbers]

    async def logged(self) -> list[SlateMessage]:
        """What the log has of slates, which are all of one viewer."""
        values = await self._values(SLATES)
        return [msgspec.msgpack.decode(value, type=SlateMessage) for value in values]

    async def events_logged(self) -> Counter[str]:
        """How often the log has each event."""
        return Counter(decode(value).event_id for value in await self._values(USER_INTERACTION))

    async def _values(self, topic: str) -> list[bytes]:
        found = []
        for partition in range(len(await self.log.bounds(topic))):
            found += await self.log.read(topic, partition, 0, 10_000)
        return [entry.value for entry in found]

    def waiting(self, run: Run, at: Replica) -> list[str]:
        return [found.slate_id for found, _ in run(at.outbox.waiting(1_000, LATER_MS))]

    def test_a_slate_is_durable_before_append_returns(self, run: Run) -> None:
        first = self.replica("a")
        run(first.slates.append(slate(1)))
        again = self.replica("a")  # beside the first, which wrote nothing since
        assert run(again.outbox.get("slate-1")) == slate(1)
        assert self.waiting(run, again) == ["slate-1"]

    def test_a_sibling_reads_what_another_served(self, run: Run) -> None:
        first, second = self.replica("a"), self.replica("b")
        run(self.serve(first, range(0, 3)))
        run(self.serve(second, range(3, 5)))
        assert run(second.slates.get("slate-1")) == slate(1)
        assert run(first.slates.latest("ann", 4)) == [slate(4), slate(3), slate(2), slate(1)]
        assert run(first.slates.get("slate-9")) is None
        assert run(second.slates.latest("bo", 4)) == []

    def test_a_page_of_a_list_is_known_to_the_siblings_and_in_no_session(self, run: Run) -> None:
        first, second = self.replica("a"), self.replica("b")
        listed = msgspec.structs.replace(slate(1), session_id="", surface="trending")
        run(first.slates.append(listed))
        assert run(second.slates.get("slate-1")) == listed
        assert run(second.slates.latest("ann", 4)) == run(first.slates.latest("ann", 4)) == []

    def test_a_cache_that_never_answers_costs_a_page_no_more_than_its_deadline(self, run: Run) -> None:
        first, second = self.replica("a"), self.replica("b")
        run(self.serve(second, range(0, 1)))
        run(self.hang_cache())
        try:
            start = time.perf_counter()
            run(first.slates.append(slate(1)))
            assert time.perf_counter() - start < PATIENCE_S
            assert run(first.slates.get("slate-1")) == slate(1)
            with pytest.raises(OwnSlatesAlone) as alone:
                run(first.slates.latest("ann", 5))
            assert alone.value.slates == [slate(1)]
            start = time.perf_counter()
            with pytest.raises(Unavailable, match="slates of other replicas cannot be read"):
                run(first.slates.get("slate-0"))
            with pytest.raises(Unavailable, match="slates of other replicas cannot be read"):
                run(first.slates.latest("bo", 5))
            assert time.perf_counter() - start < PATIENCE_S
        finally:
            run(self.resume_cache())

    def test_what_was_served_while_the_cache_was_away_reaches_the_siblings_soon_after(self, run: Run) -> None:
        first, second = self.replica("a"), self.replica("b")
        run(self.serve(first, range(0, 1)))
        run(self.stop_cache())
        run(self.serve(first, range(1, 4)))
        with pytest.raises(Unavailable, match="slates of other replicas cannot be read"):
            run(second.slates.get("slate-1"))
        run(self.start_cache())
        # Not yet told: to say that there is no such slate would refuse the impressions of a page that was served.
        with pytest.raises(Unavailable, match="slates of other replicas cannot be read"):
            run(second.slates.get("slate-1"))
        assert run(self._shown_to(second, first))
        assert run(second.slates.latest("ann", 9)) == [slate(3), slate(2), slate(1), slate(0)]

    async def _shown_to(self, sibling: Replica, of: Replica) -> bool:
        """Whether the replica's endless showing brings slates 1 to 3 to a sibling, and goes on."""
        task = asyncio.create_task(of.slates.run(every_s=0.05))
        until = time.monotonic() + 10
        while time.monotonic() < until:
            await asyncio.sleep(0.1)
            with contextlib.suppress(Unavailable):
                if [await sibling.slates.get(f"slate-{n}") for n in (1, 2, 3)] == [slate(n) for n in (1, 2, 3)]:
                    break
        shown = time.monotonic() < until and not task.done()
        task.cancel()
        return shown

    def test_what_waits_is_shipped_once_after_a_restart(self, run: Run) -> None:
        first = self.replica("a")
        names = run(self.serve(first, range(0, 5)))
        first.file.close()
        second = self.replica("a")
        assert run(second.shipper.ship()) == 5
        assert run(self.replica("a").shipper.ship()) == 0
        logged = run(self.logged())
        assert [message.record.slate_id for message in logged] == names
        assert [message.record for message in logged] == [slate(number) for number in range(5)]
        assert [message.served for message in logged] == [b"rows %d" % number for number in range(5)]

    def test_one_killed_between_log_and_mark_ships_that_batch_again_and_nothing_else(self, run: Run) -> None:
        first = self.replica("a")
        run(self.serve(first, range(0, 2)))
        run(first.shipper.ship())
        run(self.serve(first, range(2, 4)))
        first.outbox.shipped = _killed  # type: ignore[method-assign]
        with pytest.raises(KeyboardInterrupt):
            run(first.shipper.ship())
        second = self.replica("a")
        run(self.serve(second, range(4, 5)))
        assert run(second.shipper.ship()) == 3
        logged = [message.record.slate_id for message in run(self.logged())]
        assert logged == ["slate-0", "slate-1", "slate-2", "slate-3", "slate-2", "slate-3", "slate-4"]

    def test_an_outage_of_the_log_delays_slates_and_loses_none(self, run: Run) -> None:
        first = self.replica("a")
        names = run(self.serve(first, range(0, 2)))
        run(self.stop_log())
        with pytest.raises(Unavailable):
            run(first.shipper.ship())
        names += run(self.serve(first, range(2, 4)))
        assert self.waiting(run, first) == names
        shipping = run(self._ship_through_the_end_of_the_outage(first))
        assert shipping and self.waiting(run, first) == []
        logged = [message.record.slate_id for message in run(self.logged())]
        # At least once: what was sent as the log went may be there again, and the order of the first places holds.
        assert list(dict.fromkeys(logged)) == names

    async def _ship_through_the_end_of_the_outage(self, at: Replica) -> bool:
        """The replica's own endless shipping, until nothing waits; whether it was still alive."""
        task = asyncio.create_task(at.shipper.run(every_s=0.05))
        await asyncio.sleep(0.2)
        await self.start_log()
        until = time.monotonic() + 30
        while await at.outbox.waiting(1, LATER_MS) and time.monotonic() < until:
            await asyncio.sleep(0.05)
        alive = not task.done()
        task.cancel()
        return alive

    def test_a_slate_kept_in_full_that_the_log_would_refuse_goes_without_its_candidates(self, run: Run) -> None:
        first = self.replica("a")
        run(first.slates.append(slate(0)))
        run(first.slates.detail(SlateDetail(slate_id="slate-0", served=b"rows", full=bytes(MAX_MESSAGE_BYTES))))
        run(self.serve(first, range(1, 2)))
        assert run(first.shipper.ship()) == 2
        assert [(m.record.slate_id, m.served, m.full) for m in run(self.logged())] == [
            ("slate-0", b"rows", b""),
            ("slate-1", b"rows 1", b""),
        ]

    def test_an_event_that_comes_again_is_a_duplicate_at_every_replica(self, run: Run) -> None:
        first, second = self.replica("a"), self.replica("b")
        assert [place.duplicate for place in run(first.events.append([like(1), like(2), like(1)]))] == [
            False,
            False,
            True,
        ]
        again = run(second.events.append([like(1), like(3), like(2)]))
        assert [place.duplicate for place in again] == [True, False, True]
        assert run(self.events_logged()) == dict.fromkeys((like(n).event_id for n in (1, 2, 3)), 1)
        assert (first.heard, second.heard) == ([like(1).event_id, like(2).event_id], [like(3).event_id])

    def test_the_same_id_of_another_viewer_is_another_event(self, run: Run) -> None:
        first = self.replica("a")
        assert [place.duplicate for place in run(first.events.append([like(1, "ann"), like(1, "bo")]))] == [
            False,
            False,
        ]

    def test_a_cache_that_never_answers_lets_an_event_through_within_the_deadline(self, run: Run) -> None:
        first = self.replica("a")
        run(first.events.append([like(1)]))
        run(self.hang_cache())
        try:
            start = time.perf_counter()
            again = run(first.events.append([like(1), like(2)]))
            assert time.perf_counter() - start < PATIENCE_S
        finally:
            run(self.resume_cache())
        # Nobody could say that the first was known: the log has it again, and the stream passes over it.
        assert [place.duplicate for place in again] == [False, False]
        assert run(self.events_logged()) == {like(1).event_id: 2, like(2).event_id: 1}

    def test_what_a_late_cache_was_told_counts_once_it_answers(self, run: Run) -> None:
        first = self.replica("a")
        run(first.events.append([like(1)]))  # connected
        run(self.hang_cache())
        try:
            run(first.events.append([like(2)]))
        finally:
            run(self.resume_cache())
        run(asyncio.sleep(0.5))
        assert first.heard == [like(1).event_id, like(2).event_id]
        assert [place.duplicate for place in run(self.replica("b").events.append([like(2)]))] == [True]

    def test_an_event_that_the_log_refuses_is_not_remembered(self, run: Run) -> None:
        first = self.replica("a")
        run(self.stop_log())
        try:
            with pytest.raises(Unavailable):
                run(first.events.append([like(1)]))
        finally:
            run(self.start_log())
        assert [place.duplicate for place in run(first.events.append([like(1)]))] == [False]
        assert first.heard == [like(1).event_id]


async def _killed(slate_ids: list[str]) -> None:
    raise KeyboardInterrupt  # what no handler of the product's may catch
