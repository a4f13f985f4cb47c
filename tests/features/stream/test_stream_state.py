"""A partition's state: rows in memory up to a bound, one writer, event ids that are forgotten in time."""

import numpy as np
import pytest

from backends.sqlite.partition_state import SqlitePartitionStates
from core.errors import Unavailable
from core.ports import Advance
from features.layout import COUNTS_DTYPE
from features.packed import pack_rows
from features.stream.hot_rows import HotRows, SharedMemory

DAY_MS = 86_400_000


def rows(numbers):
    """Records that count a number each."""
    records = np.zeros(len(numbers), COUNTS_DTYPE)
    records["totals"][:, 0] = numbers
    records["version"] = numbers
    return records


def commit(state, offset, ids, records, **more):
    """Store records under ids."""
    stored = zip(ids, records["version"].tolist(), pack_rows(records), strict=True)
    state.commit(Advance(offset, list(stored), **more))


def put(hot, ids, records):
    """Change rows to these, as a micro-batch does that is then stored."""
    held, places = hot.take(ids)
    held[places] = records
    hot.settle()


def totals(hot, ids):
    """What rows count."""
    held, places = hot.take(ids)
    return held["totals"][places, 0].tolist()


def test_memory_holds_the_last_used_rows_and_the_file_holds_all(tmp_path):
    state = SqlitePartitionStates(tmp_path).open("counter-0")
    hot = HotRows(state, COUNTS_DTYPE, most_bytes=100 * (COUNTS_DTYPE.itemsize + 250))
    for start in range(0, 1000, 50):
        ids, records = [f"video:{n}" for n in range(start, start + 50)], rows(list(range(start, start + 50)))
        commit(state, start + 1, ids, records)
        put(hot, ids, records)
        assert len(hot) <= 100 and hot.used_bytes <= 100 * (COUNTS_DTYPE.itemsize + 250)
    assert len(hot) == 100
    assert totals(hot, ["video:3", "video:999", "video:none", "video:950"]) == [3, 999, 0, 950]


def test_a_row_that_is_used_stays_in_memory(tmp_path):
    state = SqlitePartitionStates(tmp_path).open("counter-0")
    hot = HotRows(state, COUNTS_DTYPE, most_bytes=3 * (COUNTS_DTYPE.itemsize + 250))
    for number in range(6):
        put(hot, [f"video:{number}", "video:0"] if number else ["video:0"], rows([number, 7] if number else [7]))
    # The file is empty: what is found is what memory kept.
    assert totals(hot, ["video:0", "video:1", "video:5"]) == [7, 0, 5]


def test_more_rows_than_fit_are_read_and_written_all_the_same(tmp_path):
    state = SqlitePartitionStates(tmp_path).open("counter-0")
    hot = HotRows(state, COUNTS_DTYPE, most_bytes=1)
    ids = [f"video:{n}" for n in range(700)]
    commit(state, 1, ids, rows(list(range(700))))
    put(hot, ids, rows(list(range(700))))
    assert len(hot) == 1 and totals(hot, ids) == list(range(700))


def test_a_change_that_was_not_stored_is_as_if_it_had_never_been(tmp_path):
    state = SqlitePartitionStates(tmp_path).open("counter-0")
    hot, ids = HotRows(state, COUNTS_DTYPE, most_bytes=1 << 20), [f"video:{n}" for n in range(5)]
    commit(state, 1, ids[:3], rows([1, 2, 3]))
    put(hot, ids, rows([9] * 5))
    hot.forget(ids)
    # Two of the rows were never stored; the places that became free are used again, each by one row.
    assert totals(hot, ids[2:]) == [3, 0, 0] and len(hot) == 3
    assert totals(hot, ["video:none", *ids]) == [0, 1, 2, 3, 0, 0]
    assert len(set(hot.take([*ids, "video:none"])[1].tolist())) == len(hot) == 6


def test_partitions_share_one_bound_and_give_way_to_each_other(tmp_path):
    states, memory = SqlitePartitionStates(tmp_path), SharedMemory()
    most, entry = 100 * (COUNTS_DTYPE.itemsize + 250), COUNTS_DTYPE.itemsize + 250
    hots = []
    for number in range(4):
        state = states.open(f"counter-{number}")
        hots.append(HotRows(state, COUNTS_DTYPE, 1))
        memory.enter(hots[-1], most)
        ids = [f"video:{n}" for n in range(100)]
        commit(state, 1, ids, rows(list(range(100))))
        put(hots[-1], ids, rows(list(range(100))))
        assert sum(hot.used_bytes for hot in hots) <= most
    assert [hot.slots for hot in hots] == [25] * 4
    # The last used ones stayed, and what left is in the file.
    assert all(totals(hot, ["video:99", "video:1"]) == [99, 1] for hot in hots)
    memory.leave(hots.pop())
    assert [hot.slots for hot in hots] == [most // 3 // entry] * 3
    assert all(totals(hot, ["video:99", "video:80"]) == [99, 80] for hot in hots)


def test_a_state_has_one_writer(tmp_path):
    states = SqlitePartitionStates(tmp_path)
    first = states.open("viewer-0")
    with pytest.raises(Unavailable, match="held by another process"):
        SqlitePartitionStates(tmp_path).open("viewer-0")
    with pytest.raises(Unavailable, match="held by another process"):
        states.replace("viewer-0", tmp_path / "copy")
    first.close()
    states.open("viewer-0").close()


def test_a_commit_is_found_again_with_its_offset_and_watermarks(tmp_path):
    states = SqlitePartitionStates(tmp_path)
    state = states.open("viewer-0")
    assert states.offset("viewer-9") == 0 and state.position() == (0, {})
    commit(state, 17, ["video:a"], rows([5]), watermarks={2: 30})
    commit(state, 19, ["video:b"], rows([9]), watermarks={2: 31, 0: 4})
    assert state.copy(tmp_path / "copy.db") == 19
    state.close()
    again = states.open("viewer-0")
    assert again.position() == (19, {2: 31, 0: 4}) and states.offset("viewer-0") == 19
    assert [key for _, key, _ in again.rows_since(5, 0, 10)] == ["video:b"]
    states.replace("viewer-1", tmp_path / "copy.db")
    assert states.open("viewer-1").position() == (19, {2: 31, 0: 4})


def test_what_waits_in_the_file_is_read_as_if_it_were_in_its_tables(tmp_path):
    """The same commits into a file where none waits, some wait and all wait; each is left as a killed process would."""
    rng = np.random.default_rng(5)
    folders = {0: tmp_path / "none", 2_000: tmp_path / "some", 1 << 30: tmp_path / "all"}
    states = {
        waiting: SqlitePartitionStates(folder, waiting_bytes=waiting).open("viewer-0")
        for waiting, folder in folders.items()
    }
    for offset in range(1, 41):
        names = [f"u{n}" for n in sorted(set(rng.integers(0, 30, 5).tolist()))]
        ids = {rng.bytes(16): offset for _ in range(3)}
        for state in states.values():
            commit(state, offset, names, rows([offset] * len(names)), event_ids=ids, watermarks={1: offset})
    copies = []
    for waiting, folder in folders.items():
        states[waiting].copy(folder / "viewer-1.db")
        copies.append(SqlitePartitionStates(folder, waiting_bytes=waiting).open("viewer-1"))
    names = [f"u{n}" for n in range(31)]
    none, *others = [*copies, *states.values()]
    for other in others:
        assert other.position() == none.position() == (40, {1: 40})
        assert other.rows(names) == none.rows(names) and other.seen(list(ids)) == none.seen(list(ids)) == ids
    newest = {(key, raw) for _, key, raw in none.rows_since(30, 0, 100)}
    assert 0 < len(newest) < 30
    assert all({(key, raw) for _, key, raw in other.rows_since(30, 0, 100)} == newest for other in others)
    assert all(other.rows(names) == none.rows(names) for other in others)


def test_a_commit_that_is_undone_leaves_nothing(tmp_path):
    for waiting in (0, 1 << 20):
        state = SqlitePartitionStates(tmp_path / str(waiting), waiting_bytes=waiting).open("viewer-0")
        commit(state, 1, ["a"], rows([1]), event_ids={b"1" * 16: 1})
        with pytest.raises(OverflowError):  # SQLite has no such number
            commit(state, 2, ["a", "b"], rows([2, 2]), event_ids={b"2" * 16: 2}, watermarks={1: 1 << 70})
        assert state.position() == (1, {}) and state.seen([b"2" * 16]) == {}
        assert list(state.rows(["a", "b"])) == ["a"]
        commit(state, 2, ["b"], rows([2]))
        assert [key for _, key, _ in state.rows_since(-1, 0, 9)] == ["a", "b"]


def test_event_ids_are_known_for_the_time_that_is_promised_and_then_forgotten(tmp_path):
    state = SqlitePartitionStates(tmp_path, keep_ms=8 * DAY_MS).open("viewer-0")
    ids = {day: bytes([day]) * 16 for day in range(40)}
    for day in range(40):
        state.commit(Advance(day + 1, event_ids={ids[day]: day * DAY_MS}))
        recent = [ids[d] for d in range(max(day - 8, 0), day + 1)]
        assert set(state.seen(recent)) == set(recent)
    # At most two generations of 8 days each are kept.
    known = state.seen(list(ids.values()))
    assert len(known) <= 17 and known[ids[39]] == 39 * DAY_MS
