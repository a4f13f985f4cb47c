"""What every BlobStore promises."""

import asyncio
from pathlib import Path

import pytest

from core.errors import InputError, NotFound
from core.ports import BlobStore


class BlobStoreContract:
    """Inherit it and give `open_blobs`; opening the same folder again is a restart."""

    def open_blobs(self, folder: Path) -> BlobStore:
        """The store kept in the folder, empty at first."""
        raise NotImplementedError

    @pytest.fixture
    def blobs(self, tmp_path: Path) -> BlobStore:
        return self.open_blobs(tmp_path / "blobs")

    def test_a_new_store_is_empty(self, blobs: BlobStore) -> None:
        assert asyncio.run(blobs.list("")) == []
        with pytest.raises(NotFound, match="no object never/put"):
            asyncio.run(blobs.get("never/put"))

    @pytest.mark.parametrize("value", [b"", b"\x00\xff", bytes(range(256)) * 8_192])
    def test_an_object_comes_back_as_it_was_put(self, blobs: BlobStore, value: bytes) -> None:
        asyncio.run(blobs.put("archive/day=2026-01-01/0001.parquet", value))
        assert asyncio.run(blobs.get("archive/day=2026-01-01/0001.parquet")) == value

    def test_putting_again_replaces(self, blobs: BlobStore) -> None:
        asyncio.run(blobs.put("a/b", b"a longer first value"))
        asyncio.run(blobs.put("a/b", b"2"))
        assert asyncio.run(blobs.get("a/b")) == b"2"
        assert asyncio.run(blobs.list("")) == ["a/b"]

    def test_a_prefix_is_text_and_need_not_end_at_a_slash(self, blobs: BlobStore) -> None:
        for key in ("b/10", "b/2", "b/1", "a", "bb/1", "ç/ü"):
            asyncio.run(blobs.put(key, b""))
        assert asyncio.run(blobs.list("b/1")) == ["b/1", "b/10"]
        assert asyncio.run(blobs.list("b")) == ["b/1", "b/10", "b/2", "bb/1"]
        assert asyncio.run(blobs.list("b/")) == ["b/1", "b/10", "b/2"]
        assert asyncio.run(blobs.list("")) == ["a", "b/1", "b/10", "b/2", "bb/1", "ç/ü"]
        assert asyncio.run(blobs.list("nothing/here")) == []

    def test_deleted_objects_are_gone_and_unknown_ones_are_no_error(self, blobs: BlobStore) -> None:
        asyncio.run(blobs.put("a/1", b"1"))
        asyncio.run(blobs.put("a/2", b"2"))
        asyncio.run(blobs.delete(["a/1", "a/1", "never"]))
        assert asyncio.run(blobs.list("")) == ["a/2"]
        with pytest.raises(NotFound):
            asyncio.run(blobs.get("a/1"))

    def test_everything_is_there_after_a_restart(self, tmp_path: Path) -> None:
        asyncio.run(self.open_blobs(tmp_path / "blobs").put("a/1", b"1"))
        assert asyncio.run(self.open_blobs(tmp_path / "blobs").get("a/1")) == b"1"

    def test_of_concurrent_puts_one_wins_whole(self, blobs: BlobStore) -> None:
        values = [bytes([number]) * (10_000 + number) for number in range(20)]

        async def put_all() -> bytes:
            await asyncio.gather(*(blobs.put("same", value) for value in values))
            return await blobs.get("same")

        assert asyncio.run(put_all()) in values
        assert asyncio.run(blobs.list("")) == ["same"]

    @pytest.mark.parametrize(
        "key", ["", "/a", "a/", "a//b", "..", "../a", "a/../b", "a/./b", "a\0b", "x" * 300, "a/" * 600 + "a"]
    )
    def test_a_key_that_is_none_is_refused(self, blobs: BlobStore, key: str) -> None:
        with pytest.raises(InputError, match="cannot be used"):
            asyncio.run(blobs.put(key, b"1"))
        with pytest.raises(InputError):
            asyncio.run(blobs.get(key))
