"""What every MessageLog promises."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from core.errors import ConfigError, TooLarge
from core.log import MAX_MESSAGE_BYTES, Bounds, Consumer, Entry, Message, MessageLog, Place, partition_of

ONE, MANY = "one", "many"
PARTITIONS = {ONE: 1, f"{ONE}.dead": 1, MANY: 4, f"{MANY}.dead": 1}
PATIENCE_S = 30.0

Body = Callable[[MessageLog], Awaitable[None]]


def numbered(count: int, key: str = "k") -> list[Message]:
    """Messages of one key."""
    return [Message(key, b"%d" % number) for number in range(count)]


def spread(count: int) -> list[Message]:
    """Messages of twenty keys, each with its own number."""
    return [Message(f"key{number % 20}", b"%d" % number) for number in range(count)]


class Told:
    """An assignment that writes down what it is told, and may have offsets of its own."""

    def __init__(self, own: Mapping[int, int] | None = None) -> None:
        self.own = dict(own or {})
        self.events: list[tuple[str, str, frozenset[int]]] = []
        self.mine: set[tuple[str, int]] = set()

    async def assigned(self, topic: str, partitions: frozenset[int]) -> Mapping[int, int]:
        assert not self.mine & {(topic, number) for number in partitions}
        self.events.append(("assigned", topic, partitions))
        self.mine |= {(topic, number) for number in partitions}
        return {number: self.own[number] for number in partitions if number in self.own}

    async def revoked(self, topic: str, partitions: frozenset[int]) -> None:
        assert self.mine >= {(topic, number) for number in partitions}
        self.events.append(("revoked", topic, partitions))
        self.mine -= {(topic, number) for number in partitions}


@asynccontextmanager
async def member(log: MessageLog, group: str, topic: str, told: Told | None = None) -> AsyncIterator[Consumer]:
    """A consumer that leaves at the end."""
    consumer = await log.join(group, [topic], told)
    try:
        yield consumer
    finally:
        await consumer.close()


async def drain(*consumers: Consumer, count: int, commit: bool = True) -> list[list[Entry]]:
    """What each of them got until `count` messages have come together."""
    got: list[list[Entry]] = [[] for _ in consumers]
    async with asyncio.timeout(PATIENCE_S):
        while sum(map(len, got)) < count:
            for consumer, mine in zip(consumers, got, strict=True):
                entries = await consumer.poll(500, 50)
                mine += entries
                if commit:
                    await consumer.commit({(entry.topic, entry.partition): entry.offset for entry in entries})
    return got


async def until(consumers: list[Consumer], true: Callable[[], bool]) -> list[Entry]:
    """Poll all of them until something holds; what came meanwhile."""
    entries: list[Entry] = []
    async with asyncio.timeout(PATIENCE_S):
        while not true():
            for consumer in consumers:
                entries += await consumer.poll(500, 50)
    return entries


def merged(got: list[list[Entry]]) -> list[Entry]:
    """What all of them got."""
    return [entry for entries in got for entry in entries]


def values(entries: list[Entry]) -> list[int]:
    """The numbers that were sent."""
    return [int(entry.value) for entry in entries]


class MessageLogContract:
    """Inherit it and give `open_log`; opening the same place again is a restart."""

    async def open_log(self, place: Path, partitions: Mapping[str, int]) -> MessageLog:
        """The log at the place, with these topics."""
        raise NotImplementedError

    @pytest.fixture
    def run(self, tmp_path: Path) -> Callable[[Body], None]:
        """Run the body with an open log; each call is another process's view, later."""

        async def opened(body: Body) -> None:
            log = await self.open_log(tmp_path, PARTITIONS)
            try:
                await body(log)
            finally:
                await log.close()

        return lambda body: asyncio.run(opened(body))

    def test_a_new_topic_is_empty(self, run: Callable[[Body], None]) -> None:
        async def body(log: MessageLog) -> None:
            assert await log.bounds(MANY) == [Bounds(1, 0)] * 4
            assert await log.read(MANY, 3, 0, 10) == []
            assert await log.append(MANY, []) == []

        run(body)

    def test_offsets_begin_at_one_and_a_message_is_read_as_it_was_appended(self, run: Callable[[Body], None]) -> None:
        async def body(log: MessageLog) -> None:
            sent = [Message("a", b"first"), Message("ü", b"\x00\xff"), Message("", b"")]
            assert await log.append(ONE, sent) == [Place(0, 1), Place(0, 2), Place(0, 3)]
            entries = await log.read(ONE, 0, 0, 10)
            assert [(e.topic, e.partition, e.offset, e.key, e.value) for e in entries] == [
                (ONE, 0, 1, "a", b"first"),
                (ONE, 0, 2, "ü", b"\x00\xff"),
                (ONE, 0, 3, "", b""),
            ]
            assert all(entry.time_ms > 1_600_000_000_000 and entry.headers == {} for entry in entries)

        run(body)

    def test_read_gives_at_most_the_limit_after_the_offset(self, run: Callable[[Body], None]) -> None:
        async def body(log: MessageLog) -> None:
            await log.append(ONE, numbered(10))
            assert [entry.offset for entry in await log.read(ONE, 0, 3, 4)] == [4, 5, 6, 7]
            assert [entry.offset for entry in await log.read(ONE, 0, 7, 4)] == [8, 9, 10]
            assert [entry.offset for entry in await log.read(ONE, 0, 0, 2)] == [1, 2]
            assert await log.read(ONE, 0, 10, 4) == []
            await log.append(ONE, numbered(1))
            assert [entry.offset for entry in await log.read(ONE, 0, 10, 4)] == [11]

        run(body)

    def test_a_key_keeps_its_partition_and_its_order(self, run: Callable[[Body], None]) -> None:
        async def body(log: MessageLog) -> None:
            messages = spread(200)
            places = await log.append(MANY, messages)
            assert [place.partition for place in places] == [partition_of(m.key, 4) for m in messages]
            assert await log.bounds(MANY) == [Bounds(1, [p.partition for p in places].count(n)) for n in range(4)]
            for partition in range(4):
                entries = await log.read(MANY, partition, 0, 1_000)
                expected = [m for m in messages if partition_of(m.key, 4) == partition]
                assert [(e.key, e.value) for e in entries] == [(m.key, m.value) for m in expected]

        run(body)

    def test_a_message_may_name_its_partition(self, run: Callable[[Body], None]) -> None:
        async def body(log: MessageLog) -> None:
            assert await log.append(MANY, [Message("same", b"", n) for n in (3, 1, 3)]) == [
                Place(3, 1),
                Place(1, 1),
                Place(3, 2),
            ]
            with pytest.raises(ConfigError, match="4"):
                await log.append(MANY, [Message("same", b"", 4)])

        run(body)

    def test_an_unknown_topic_and_a_message_that_is_too_large_are_refused(self, run: Callable[[Body], None]) -> None:
        async def body(log: MessageLog) -> None:
            with pytest.raises(ConfigError, match="topic"):
                await log.append("absent", numbered(1))
            with pytest.raises(TooLarge, match="4000000"):
                await log.append(ONE, [Message("k", b"ok"), Message("k", bytes(MAX_MESSAGE_BYTES))])
            assert await log.bounds(ONE) == [Bounds(1, 0)]
            assert await log.append(ONE, [Message("k", bytes(MAX_MESSAGE_BYTES - 1))]) == [Place(0, 1)]
            assert len((await log.read(ONE, 0, 0, 1))[0].value) == MAX_MESSAGE_BYTES - 1

        run(body)

    def test_five_thousand_messages_at_once_are_kept_in_order(self, run: Callable[[Body], None]) -> None:
        async def body(log: MessageLog) -> None:
            assert await log.append(ONE, numbered(5_000)) == [Place(0, offset) for offset in range(1, 5_001)]
            async with member(log, "g", ONE) as consumer:
                (got,) = await drain(consumer, count=5_000)
            assert values(got) == list(range(5_000))

        run(body)

    def test_appends_at_the_same_time_all_arrive(self, run: Callable[[Body], None]) -> None:
        async def body(log: MessageLog) -> None:
            places = await asyncio.gather(*(log.append(MANY, spread(7)) for _ in range(50)))
            assert len({place for batch in places for place in batch}) == 350
            assert sum(bounds.last for bounds in await log.bounds(MANY)) == 350

        run(body)

    def test_a_poll_without_messages_is_empty_after_its_wait(self, run: Callable[[Body], None]) -> None:
        async def body(log: MessageLog) -> None:
            told = Told()
            async with member(log, "g", MANY, told) as consumer:
                await until([consumer], lambda: len(told.mine) == 4)
                began = asyncio.get_running_loop().time()
                assert await consumer.poll(10, 120) == []
                assert 0.1 < asyncio.get_running_loop().time() - began < 5

        run(body)

    def test_a_group_goes_on_after_its_commit_and_another_group_begins_anew(self, run: Callable[[Body], None]) -> None:
        async def first(log: MessageLog) -> None:
            await log.append(ONE, numbered(10))
            async with member(log, "g", ONE) as consumer:
                (got,) = await drain(consumer, count=10, commit=False)
                assert values(got) == list(range(10))
                await consumer.commit({(ONE, 0): 4})

        async def second(log: MessageLog) -> None:
            async with member(log, "g", ONE) as consumer:
                assert values((await drain(consumer, count=6))[0]) == [4, 5, 6, 7, 8, 9]
            async with member(log, "other", ONE) as consumer:
                assert values((await drain(consumer, count=10))[0]) == list(range(10))

        run(first)
        run(second)

    def test_what_was_not_committed_is_delivered_again(self, run: Callable[[Body], None]) -> None:
        async def body(log: MessageLog) -> None:
            await log.append(ONE, numbered(3))
            for _ in range(2):
                async with member(log, "g", ONE) as consumer:
                    assert values((await drain(consumer, count=3, commit=False))[0]) == [0, 1, 2]

        run(body)

    def test_a_poll_takes_no_more_than_its_limit(self, run: Callable[[Body], None]) -> None:
        async def body(log: MessageLog) -> None:
            await log.append(MANY, spread(100))
            seen: list[Entry] = []
            async with member(log, "g", MANY) as consumer, asyncio.timeout(PATIENCE_S):
                while len(seen) < 100:
                    entries = await consumer.poll(7, 50)
                    assert len(entries) <= 7
                    seen += entries
            assert sorted(values(seen)) == list(range(100))

        run(body)

    def test_two_members_share_the_partitions_and_each_message_comes_once(self, run: Callable[[Body], None]) -> None:
        async def body(log: MessageLog) -> None:
            one, two = Told(), Told()
            async with member(log, "g", MANY, one) as first, member(log, "g", MANY, two) as second:
                await until([first, second], lambda: len(one.mine) == len(two.mine) == 2)
                assert not one.mine & two.mine
                await log.append(MANY, spread(300))
                got = await drain(first, second, count=300)
            assert sorted(values(got[0] + got[1])) == list(range(300))
            assert all(got)
            assert not {e.partition for e in got[0]} & {e.partition for e in got[1]}

        run(body)

    def test_a_member_that_comes_takes_over_without_loss_or_doubles(self, run: Callable[[Body], None]) -> None:
        async def body(log: MessageLog) -> None:
            one, two = Told(), Told()
            await log.append(MANY, spread(200))
            async with member(log, "g", MANY, one) as first:
                got = (await drain(first, count=200))[0]
                await log.append(MANY, spread(200))
                async with member(log, "g", MANY, two) as second:
                    got += merged(await drain(first, second, count=200))
                    await until([first, second], lambda: len(two.mine) == 2)
                    assert [kind for kind, _, _ in one.events][:2] == ["assigned", "revoked"]
                    await log.append(MANY, spread(200))
                    got += merged(await drain(first, second, count=200))
            assert sorted(values(got)) == sorted([*range(200)] * 3)

        run(body)

    def test_a_member_that_leaves_hands_over(self, run: Callable[[Body], None]) -> None:
        async def body(log: MessageLog) -> None:
            one, two = Told(), Told()
            async with member(log, "g", MANY, one) as first:
                second = await log.join("g", [MANY], two)
                await until([first, second], lambda: len(one.mine) == len(two.mine) == 2)
                await log.append(MANY, spread(100))
                got = merged(await drain(first, second, count=100))
                await second.close()
                assert two.mine == set()
                assert two.events[-1][0] == "revoked"
                await until([first], lambda: len(one.mine) == 4)
                await log.append(MANY, spread(100))
                got += merged(await drain(first, count=100))
            assert sorted(values(got)) == sorted([*range(100)] * 2)
            assert one.mine == set()

        run(body)

    def test_members_that_come_and_go_apply_each_message_once(self, run: Callable[[Body], None]) -> None:
        """Each keeps what it applied with its offset, and hands both over, as a stage with a state file does."""
        stored: dict[int, int] = {}
        applied: list[int] = []
        owners: dict[int, str] = {}

        class Stage(Told):
            """Its state: the last applied offset of each partition, stored at `revoked` and now and then."""

            def __init__(self, name: str) -> None:
                super().__init__()
                self.name = name
                self.state: dict[int, tuple[int, list[int]]] = {}

            async def assigned(self, topic: str, partitions: frozenset[int]) -> Mapping[int, int]:
                assert not owners.keys() & partitions, "two own a partition at the same time"
                owners.update(dict.fromkeys(partitions, self.name))
                await asyncio.sleep(0.02)
                self.state |= {number: (stored.get(number, 0), []) for number in partitions}
                return {number: stored.get(number, 0) for number in partitions}

            async def revoked(self, topic: str, partitions: frozenset[int]) -> None:
                await asyncio.sleep(0.02)
                for number in partitions:
                    self.store(number)
                    del owners[number]

            def apply(self, entry: Entry) -> None:
                offset, values = self.state[entry.partition]
                assert entry.offset == offset + 1
                self.state[entry.partition] = (entry.offset, [*values, int(entry.value)])

            def store(self, number: int) -> None:
                offset, values = self.state[number]
                stored[number] = offset
                applied.extend(values)
                self.state[number] = (offset, [])

        async def work(log: MessageLog, name: str, rounds: int) -> None:
            stage = Stage(name)
            async with member(log, "g", MANY, stage) as consumer:
                for turn in range(rounds):
                    for entry in await consumer.poll(20, 30):
                        stage.apply(entry)
                    if turn % 3 == 0:
                        for number in list(stage.state.keys() & owners.keys()):
                            if owners[number] == name:
                                stage.store(number)

        async def body(log: MessageLog) -> None:
            async def produce() -> None:
                for start in range(0, 2_000, 40):
                    await log.append(MANY, [Message(f"k{n % 30}", b"%d" % n) for n in range(start, start + 40)])
                    await asyncio.sleep(0.04)

            async with asyncio.timeout(4 * PATIENCE_S):
                coming = (work(log, name, rounds) for name, rounds in (("a", 60), ("b", 30), ("c", 45)))
                await asyncio.gather(produce(), *coming)
                while len(applied) < 2_000:
                    await work(log, "last", 20)
            assert sorted(applied) == list(range(2_000))

        run(body)

    def test_joining_for_an_unknown_topic_is_refused(self, run: Callable[[Body], None]) -> None:
        async def body(log: MessageLog) -> None:
            with pytest.raises(ConfigError, match="topic"):
                async with member(log, "g", "absent") as consumer:
                    await consumer.poll(1, 100)

        run(body)

    def test_an_assignment_may_begin_at_offsets_of_its_own(self, run: Callable[[Body], None]) -> None:
        async def body(log: MessageLog) -> None:
            await log.append(MANY, [Message("k", b"%d" % number, number % 4) for number in range(40)])
            async with member(log, "g", MANY) as consumer:
                await drain(consumer, count=40)
            # Partition 0 holds 0, 4, 8...; after its third message come 12 to 36. Partition 1 begins anew.
            async with member(log, "g", MANY, Told({0: 3, 1: 0})) as consumer:
                (got,) = await drain(consumer, count=17)
                assert await consumer.poll(10, 200) == []
            assert sorted(values(got)) == sorted([*range(12, 40, 4), *range(1, 40, 4)])

        run(body)

    def test_what_revoked_commits_is_where_the_next_member_begins(self, run: Callable[[Body], None]) -> None:
        class Storing(Told):
            """Stores what was read when a partition goes, as a stage with state does."""

            consumer: Consumer
            read: dict[tuple[str, int], int]

            async def revoked(self, topic: str, partitions: frozenset[int]) -> None:
                await self.consumer.commit({part: offset for part, offset in self.read.items() if part[0] == topic})
                await super().revoked(topic, partitions)

        async def body(log: MessageLog) -> None:
            await log.append(ONE, numbered(10))
            told = Storing()
            async with member(log, "g", ONE, told) as consumer:
                told.consumer = consumer
                (got,) = await drain(consumer, count=10, commit=False)
                told.read = {(ONE, 0): got[6].offset}
            async with member(log, "g", ONE) as consumer:
                assert values((await drain(consumer, count=3))[0]) == [7, 8, 9]

        run(body)

    def test_an_assignment_that_fails_is_asked_again_and_nothing_is_read_before(
        self, run: Callable[[Body], None]
    ) -> None:
        class Reluctant(Told):
            """Its state cannot be loaded at first."""

            failures = 2

            async def assigned(self, topic: str, partitions: frozenset[int]) -> Mapping[int, int]:
                if self.failures:
                    self.failures -= 1
                    raise LookupError("no state yet")
                return await super().assigned(topic, partitions)

        async def body(log: MessageLog) -> None:
            await log.append(ONE, numbered(5))
            told, failed = Reluctant({0: 2}), 0
            async with member(log, "g", ONE, told) as consumer, asyncio.timeout(PATIENCE_S):
                got: list[Entry] = []
                while len(got) < 3:
                    try:
                        got += await consumer.poll(10, 100)
                    except LookupError:
                        failed += 1
                        await asyncio.sleep(0.15)
            assert (failed, values(got)) == (2, [2, 3, 4])

        run(body)

    def test_a_rejected_message_is_a_dead_letter_with_its_reason_and_the_partition_goes_on(
        self, run: Callable[[Body], None]
    ) -> None:
        async def body(log: MessageLog) -> None:
            await log.append(MANY, [Message("a", b"1", 2), Message("b", b"\xc1 poison", 2), Message("c", b"3", 2)])
            async with member(log, "g", MANY) as consumer:
                good: list[bytes] = []
                for entry in (await drain(consumer, count=3))[0]:
                    if b"poison" in entry.value:
                        await consumer.reject(entry, "It is no number: “poison”.")
                    else:
                        good.append(entry.value)
                await log.append(MANY, [Message("d", b"4", 2)])
                good += [entry.value for entry in (await drain(consumer, count=1))[0]]
            assert good == [b"1", b"3", b"4"]
            (dead,) = await log.read(f"{MANY}.dead", 0, 0, 10)
            assert (dead.key, dead.value) == ("b", b"\xc1 poison")
            assert dead.headers["reason"] == "It is no number: “poison”."
            assert (dead.headers["topic"], dead.headers["partition"], dead.headers["offset"]) == (MANY, "2", "2")
            assert int(dead.headers["time_ms"]) <= int(dead.headers["rejected_ms"])

        run(body)

    def test_everything_is_there_after_a_restart(self, run: Callable[[Body], None]) -> None:
        async def first(log: MessageLog) -> None:
            await log.append(MANY, spread(100))

        async def second(log: MessageLog) -> None:
            entries = [entry for number in range(4) for entry in await log.read(MANY, number, 0, 1_000)]
            assert sorted(values(entries)) == list(range(100))
            places = await log.append(MANY, [Message("key0", b"next")])
            assert places[0].offset == len(await log.read(MANY, places[0].partition, 0, 1_000))

        run(first)
        run(second)

    def test_a_commit_for_a_partition_of_another_member_has_no_effect(self, run: Callable[[Body], None]) -> None:
        async def body(log: MessageLog) -> None:
            await log.append(ONE, numbered(4))
            async with member(log, "g", ONE) as owner:
                await drain(owner, count=4, commit=False)
                async with member(log, "g", MANY) as stranger:
                    await stranger.commit({(ONE, 0): 4})
            async with member(log, "g", ONE) as consumer:
                assert values((await drain(consumer, count=4))[0]) == [0, 1, 2, 3]

        run(body)
