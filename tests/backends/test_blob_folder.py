"""The folder of objects keeps the contract, and never shows half an object."""

import asyncio
import errno
import os
from pathlib import Path

import pytest

from backends.blob_folder import FolderBlobStore
from core.errors import InputError, NotFound, StorageFull, Unavailable
from core.ports import BlobStore
from tests.contracts.blob_store import BlobStoreContract


class TestFolderBlobStore(BlobStoreContract):
    def open_blobs(self, folder: Path) -> BlobStore:
        return FolderBlobStore(folder)


def failing(code):
    def fail(*arguments):
        raise OSError(code, os.strerror(code))

    return fail


def test_a_put_that_fails_leaves_what_was_there_and_no_litter(tmp_path, monkeypatch):
    blobs = FolderBlobStore(tmp_path)
    asyncio.run(blobs.put("a/1", b"old"))
    monkeypatch.setattr(os, "fsync", failing(errno.ENOSPC))
    with pytest.raises(StorageFull, match=r"object a/1 .*free some"):
        asyncio.run(blobs.put("a/1", b"new"))
    monkeypatch.undo()
    assert asyncio.run(blobs.get("a/1")) == b"old"
    assert asyncio.run(blobs.list("")) == ["a/1"]
    assert list((tmp_path / ".unfinished").iterdir()) == []


def test_a_disk_that_fails_is_unavailable(tmp_path, monkeypatch):
    blobs = FolderBlobStore(tmp_path)
    monkeypatch.setattr(os, "replace", failing(errno.EIO))
    with pytest.raises(Unavailable, match="is its disk there"):
        asyncio.run(blobs.put("a", b"1"))


def test_an_object_and_a_folder_cannot_have_one_name(tmp_path):
    blobs = FolderBlobStore(tmp_path)
    asyncio.run(blobs.put("a/b", b"1"))
    with pytest.raises(InputError, match="choose another key"):
        asyncio.run(blobs.put("a", b"1"))
    with pytest.raises(InputError, match="choose another key"):
        asyncio.run(blobs.put("a/b/c", b"1"))
    with pytest.raises(NotFound):
        asyncio.run(blobs.get("a"))


def test_what_a_killed_process_left_is_swept_and_what_is_being_written_is_not(tmp_path):
    FolderBlobStore(tmp_path)
    old, young = tmp_path / ".unfinished" / "old", tmp_path / ".unfinished" / "young"
    old.write_bytes(b"half")
    young.write_bytes(b"half")
    os.utime(old, (1, 1))
    blobs = FolderBlobStore(tmp_path)
    assert (old.exists(), young.exists()) == (False, True)
    assert asyncio.run(blobs.list("")) == []


def test_a_root_that_is_a_file_is_said_in_a_sentence(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises((InputError, Unavailable), match="file"):
        FolderBlobStore(tmp_path / "file")


def test_the_unfinished_folder_is_no_place_for_keys(tmp_path):
    with pytest.raises(InputError):
        asyncio.run(FolderBlobStore(tmp_path).put(".unfinished/a", b"1"))
