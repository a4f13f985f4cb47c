"""What happens to the embedded stores when the disk, the file or another process misbehaves."""

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from backends.sqlite.database import Database
from backends.sqlite.event_log import SqliteEventLog
from backends.sqlite.feature_store import SqliteFeatureStore
from backends.sqlite.history_store import SqliteHistoryStore
from core.errors import CorruptData, StorageFull, Unavailable
from core.ports import Appended
from tests.contracts.events import impression, records

ROOT = Path(__file__).resolve().parents[2]


def test_a_full_disk_refuses_the_append_and_loses_nothing_acknowledged(tmp_path: Path) -> None:
    database = Database(tmp_path / "log.db", durable=True)
    log = SqliteEventLog(database)
    asyncio.run(log.append([impression(0)]))
    database.rows("PRAGMA max_page_count = 40")
    acknowledged = 1
    with pytest.raises(StorageFull, match=r"No space is left for .*log\.db"):
        for batch in range(100):
            asyncio.run(log.append([impression(1 + 100 * batch + number) for number in range(100)]))
            acknowledged += 100
    assert asyncio.run(log.end()) == acknowledged
    assert len(asyncio.run(log.read(0, 100_000))) == acknowledged
    database.rows("PRAGMA max_page_count = 100000")
    assert asyncio.run(log.append([impression(99_999)])) == [Appended(acknowledged + 1, False)]
    assert database.rows("PRAGMA integrity_check") == [("ok",)]


def test_a_file_that_is_no_database_is_named_with_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    path.write_bytes(b"this is not a database at all, and it is long enough to be looked at" * 100)
    with pytest.raises(CorruptData, match=r"log\.db is damaged .* restore a copy"):
        SqliteEventLog(Database(path, durable=True))


def test_a_damaged_page_is_found_when_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    database = Database(path, durable=True)
    log = SqliteEventLog(database)
    asyncio.run(log.append([impression(number) for number in range(5_000)]))
    database.close()
    whole = bytearray(path.read_bytes())
    whole[8192 * 8 :] = b"\xff" * (len(whole) - 8192 * 8)
    path.write_bytes(whole)
    with pytest.raises(CorruptData, match=r"log\.db is damaged"):
        again = SqliteEventLog(Database(path, durable=True))
        asyncio.run(again.append([impression(number) for number in range(6_000)]))
        asyncio.run(again.read(0, 10_000))


def test_a_file_that_another_process_holds_is_unavailable(tmp_path: Path) -> None:
    holder = Database(tmp_path / "log.db", durable=True)
    SqliteEventLog(holder)
    log = SqliteEventLog(Database(tmp_path / "log.db", durable=True, busy_ms=50))
    with holder.transaction(), pytest.raises(Unavailable, match="does not answer"):
        asyncio.run(log.append([impression(1)]))


def test_a_folder_that_cannot_be_made_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Unavailable, match="cannot be made"):
        Database(tmp_path / "file" / "home" / "log.db", durable=True)


def test_stores_on_one_database_share_a_transaction(tmp_path: Path) -> None:
    database = Database(tmp_path / "state.db", durable=False)
    history, features = SqliteHistoryStore(database), SqliteFeatureStore(database, "s1")
    asyncio.run(history.record(records(impression(1, video="a"))))
    assert asyncio.run(history.seen("ann")) == ["a"]

    async def half_done() -> None:
        with database.transaction():
            await history.record(records(impression(2, video="b")))
            await features.write({"viewer": {"ann": b"row"}}, 2)
            raise RuntimeError("killed")

    with pytest.raises(RuntimeError):
        asyncio.run(half_done())
    assert asyncio.run(history.seen("ann")) == ["a"]
    assert asyncio.run(features.applied_offset()) == 0
    assert asyncio.run(features.read("viewer", ["ann"])) == [None]


READER = """
import asyncio, sys
from pathlib import Path
from backends.sqlite.database import Database
from backends.sqlite.event_log import SqliteEventLog

async def follow(log, until):
    after = 0
    while after < until:
        found = await log.read(after, 500)
        assert [record.offset for record in found] == list(range(after + 1, after + 1 + len(found)))
        after += len(found)
    print(after)

print("ready", flush=True)
asyncio.run(follow(SqliteEventLog(Database(Path(sys.argv[1]), durable=True)), int(sys.argv[2])))
"""


def test_readers_in_other_processes_see_every_event_in_order(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    log = SqliteEventLog(Database(path, durable=True))
    command = [sys.executable, "-c", READER, str(path), "4000"]
    readers = [subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    for reader in readers:
        assert reader.stdout is not None and reader.stdout.readline() == "ready\n"
    for batch in range(40):
        asyncio.run(log.append([impression(100 * batch + number) for number in range(100)]))
    assert [reader.communicate(timeout=60)[0].strip() for reader in readers] == ["4000", "4000"]


def test_a_seen_list_follows_what_another_process_writes(tmp_path: Path) -> None:
    mine = SqliteHistoryStore(Database(tmp_path / "state.db", durable=False))
    theirs = SqliteHistoryStore(Database(tmp_path / "state.db", durable=False))
    assert asyncio.run(mine.seen("ann")) == []
    asyncio.run(theirs.record(records(impression(1, video="a"))))
    assert asyncio.run(mine.seen("ann")) == ["a"]
