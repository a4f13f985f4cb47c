"""What every FeatureStore promises."""

from pathlib import Path

import pytest

from core.errors import SchemaMismatch
from core.ports import FeatureStore
from core.sparse import squeeze
from tests.contracts.one_loop import OneLoop, Run


class FeatureStoreContract(OneLoop):
    """Inherit it and give `open_features`; opening the same folder again is a restart."""

    async def open_features(self, folder: Path, schema: str = "s1") -> FeatureStore:
        """The store that belongs to the folder, for rows of this schema."""
        raise NotImplementedError

    @pytest.fixture
    def store(self, run: Run, tmp_path: Path) -> FeatureStore:
        return run(self.open_features(tmp_path))

    def test_a_new_store_is_empty(self, run: Run, store: FeatureStore) -> None:
        assert run(store.read("viewer", ["ann"])) == [None]
        assert run(store.read("viewer", [])) == []
        assert run(store.scan("viewer")) == []
        assert run(store.applied_offset()) == 0

    def test_rows_come_in_the_order_asked_for_and_entities_do_not_mix(self, run: Run, store: FeatureStore) -> None:
        run(store.write({"viewer": {"x": b"vx", "y": b""}, "video": {"x": b"dx"}}, 5))
        assert run(store.read("viewer", ["y", "z", "x", "y"])) == [b"", None, b"vx", b""]
        assert run(store.read("video", ["x", "y"])) == [b"dx", None]
        assert run(store.applied_offset()) == 5

    def test_a_write_replaces_rows_and_leaves_the_others(self, run: Run, store: FeatureStore) -> None:
        run(store.write({"video": {"a": b"1", "b": b"2"}}, 1))
        run(store.write({"video": {"a": b"3" * 5_000}}, 2))
        assert run(store.scan("video")) == [("a", b"3" * 5_000), ("b", b"2")]

    def test_thousands_are_one_call(self, run: Run, store: FeatureStore) -> None:
        rows = {f"v{number:05d}": bytes([number % 256]) for number in range(3_000)}
        run(store.write({"video": rows, "viewer": rows}, 7))
        assert run(store.read("video", list(rows))) == list(rows.values())
        assert run(store.scan("viewer")) == list(rows.items())
        assert run(store.applied_offset()) == 7

    def test_a_row_that_is_given_squeezed_is_read_whole(self, run: Run, store: FeatureStore) -> None:
        row, plain = b"\1" * 9 + bytes(4_000) + b"\2", b"\1" * 300
        [small] = squeeze([row])
        run(store.write({"viewer": {"ann": small, "bob": plain}}, 1))
        assert len(small) < 300 and run(store.read("viewer", ["bob", "cid", "ann"])) == [plain, None, row]
        assert run(store.scan("viewer")) == [("ann", row), ("bob", plain)]

    @pytest.mark.parametrize("entity", ["viewer", "author"])
    def test_strange_ids_stay_apart(self, run: Run, store: FeatureStore, entity: str) -> None:
        ids = [
            "",
            " ",
            "{",
            "}",
            "{}",
            "a}",
            "{a}",
            "a",
            "%",
            "%7B",
            "%25",
            "a:b",
            "}:a",
            "*",
            "[a]",
            "\\",
            "é",
            "\x00\n",
        ]
        rows = {one: f"row of {one!r}".encode() for one in ids}
        run(store.write({entity: rows}, 1))
        assert run(store.read(entity, ids)) == list(rows.values())
        assert run(store.scan(entity)) == sorted(rows.items())

    def test_everything_is_there_after_a_restart(self, run: Run, tmp_path: Path, store: FeatureStore) -> None:
        run(store.write({"author": {"bo": b"row"}}, 9))
        again = run(self.open_features(tmp_path))
        assert run(again.read("author", ["bo"])) == [b"row"]
        assert run(again.applied_offset()) == 9

    def test_each_writer_moves_its_own_mark(self, run: Run, store: FeatureStore) -> None:
        run(store.write({"viewer": {"x": b"1"}}, {"viewer:0": 7, "viewer:1": 3}))
        run(store.write({}, {"viewer:1": 9}))
        run(store.write({"viewer": {"x": b"2"}}, {}))
        assert run(store.marks(["viewer:1", "counter:0", "viewer:0"])) == [9, 0, 7]
        assert run(store.marks([])) == []
        assert run(store.applied_offset()) == 0

    def test_a_writer_learns_what_its_marks_said_just_before(self, run: Run, store: FeatureStore) -> None:
        assert run(store.write({"viewer": {"x": b"1"}}, {"viewer:0": 7, "viewer:1": 3})) == {
            "viewer:0": 0,
            "viewer:1": 0,
        }
        assert run(store.write({}, {"viewer:1": 9})) == {"viewer:1": 3}
        many = {f"u{number}": b"row" for number in range(2_300)}
        assert run(store.write({"viewer": many}, {"viewer:1": 1, "viewer:0": 8})) == {"viewer:1": 9, "viewer:0": 7}
        assert run(store.write({"viewer": {"x": b"2"}}, {})) == {}
        assert run(store.write({"viewer": {"x": b"2"}}, 5)) == {}
        assert run(store.marks(["viewer:0", "viewer:1"])) == [8, 1]

    def test_another_schema_is_refused_with_what_to_do(self, run: Run, tmp_path: Path, store: FeatureStore) -> None:
        with pytest.raises(SchemaMismatch, match=r"s1.*s2.*`foryou train`"):
            run(self.open_features(tmp_path, "s2"))
