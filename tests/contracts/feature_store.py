"""What every FeatureStore promises."""

import asyncio
from pathlib import Path

import pytest

from core.errors import SchemaMismatch
from core.ports import FeatureStore


class FeatureStoreContract:
    """Inherit it and give `open_features`; opening the same folder again is a restart."""

    def open_features(self, folder: Path, schema: str = "s1") -> FeatureStore:
        """The store kept in the folder, for rows of this schema."""
        raise NotImplementedError

    @pytest.fixture
    def store(self, tmp_path: Path) -> FeatureStore:
        return self.open_features(tmp_path)

    def test_a_new_store_is_empty(self, store: FeatureStore) -> None:
        assert asyncio.run(store.read("viewer", ["ann"])) == [None]
        assert asyncio.run(store.scan("viewer")) == []
        assert asyncio.run(store.applied_offset()) == 0

    def test_rows_come_in_the_order_asked_for_and_entities_do_not_mix(self, store: FeatureStore) -> None:
        asyncio.run(store.write({"viewer": {"x": b"vx", "y": b""}, "video": {"x": b"dx"}}, 5))
        assert asyncio.run(store.read("viewer", ["y", "z", "x"])) == [b"", None, b"vx"]
        assert asyncio.run(store.read("video", ["x", "y"])) == [b"dx", None]
        assert asyncio.run(store.applied_offset()) == 5

    def test_a_write_replaces_rows_and_leaves_the_others(self, store: FeatureStore) -> None:
        asyncio.run(store.write({"video": {"a": b"1", "b": b"2"}}, 1))
        asyncio.run(store.write({"video": {"a": b"3" * 5_000}}, 2))
        assert asyncio.run(store.scan("video")) == [("a", b"3" * 5_000), ("b", b"2")]

    def test_a_read_of_thousands_is_one_call(self, store: FeatureStore) -> None:
        rows = {f"v{number:05d}": bytes([number % 256]) for number in range(3_000)}
        asyncio.run(store.write({"video": rows}, 1))
        assert asyncio.run(store.read("video", list(rows))) == list(rows.values())

    def test_everything_is_there_after_a_restart(self, tmp_path: Path) -> None:
        asyncio.run(self.open_features(tmp_path).write({"author": {"bo": b"row"}}, 9))
        again = self.open_features(tmp_path)
        assert asyncio.run(again.read("author", ["bo"])) == [b"row"]
        assert asyncio.run(again.applied_offset()) == 9

    def test_another_schema_is_refused_with_what_to_do(self, tmp_path: Path) -> None:
        self.open_features(tmp_path, "s1")
        with pytest.raises(SchemaMismatch, match=r"s1.*s2.*`foryou train`"):
            self.open_features(tmp_path, "s2")

    def test_each_writer_moves_its_own_mark(self, store: FeatureStore) -> None:
        asyncio.run(store.write({"viewer": {"x": b"1"}}, {"viewer:0": 7, "viewer:1": 3}))
        asyncio.run(store.write({}, {"viewer:1": 9}))
        asyncio.run(store.write({"viewer": {"x": b"2"}}, {}))
        assert asyncio.run(store.marks(["viewer:1", "counter:0", "viewer:0"])) == [9, 0, 7]
        assert asyncio.run(store.marks([])) == []
        assert asyncio.run(store.applied_offset()) == 0
