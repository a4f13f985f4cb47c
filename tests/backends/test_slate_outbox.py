"""A replica's own slates: each waits until it is on the log, and leaves the disk a week after that."""

import asyncio
from pathlib import Path

import msgspec

from backends.sqlite.database import Database
from backends.sqlite.slate_outbox import SqliteSlateOutbox
from core.ports import SlateStore
from core.slate import SlateDetail
from core.topics import DAY_MS
from tests.contracts.slate_store import SlateStoreContract, slate


def outbox(folder: Path) -> SqliteSlateOutbox:
    return SqliteSlateOutbox(Database(folder / "slates.db", durable=True))


def serve(store: SqliteSlateOutbox, number: int, day: int) -> str:
    served = msgspec.structs.replace(slate(number), time_ms=day * DAY_MS)
    asyncio.run(store.append(served))
    asyncio.run(store.detail(SlateDetail(slate_id=served.slate_id, served=b"rows", full=b"")))
    return served.slate_id


def waiting(store: SqliteSlateOutbox) -> list[str]:
    return [found.slate_id for found, _ in asyncio.run(store.waiting(100, 0))]


class TestSqliteSlateOutbox(SlateStoreContract):
    def open_slates(self, folder: Path) -> SlateStore:
        return outbox(folder)


def test_a_slate_waits_until_it_was_shipped_also_after_a_restart(tmp_path: Path) -> None:
    names = [serve(outbox(tmp_path), number, 10) for number in range(3)]
    assert waiting(outbox(tmp_path)) == names
    asyncio.run(outbox(tmp_path).shipped(names[:2]))
    assert waiting(outbox(tmp_path)) == names[2:]
    assert asyncio.run(outbox(tmp_path).get(names[0])) is not None


def test_a_slate_without_its_detail_waits_a_while_for_it(tmp_path: Path) -> None:
    store = outbox(tmp_path)
    asyncio.run(store.append(slate(1)))
    assert waiting(store) == []
    assert [found.slate_id for found, _ in asyncio.run(store.waiting(100, slate(1).time_ms + 1))] == ["slate-1"]


def test_what_was_shipped_over_a_week_ago_leaves_the_disk_and_what_waits_stays(tmp_path: Path) -> None:
    store = outbox(tmp_path)
    old, stuck, young = serve(store, 1, 10), serve(store, 2, 10), serve(store, 3, 15)
    asyncio.run(store.shipped([old, young]))
    today = serve(store, 4, 19)
    asyncio.run(store.shipped([today]))
    kept = [name for name in (old, stuck, young, today) if asyncio.run(store.get(name)) is not None]
    assert kept == [stuck, young, today]
    assert asyncio.run(store.get_detail(old)) is None and asyncio.run(store.get_detail(young)) is not None
    assert waiting(store) == [stuck]
