import errno
import os
import subprocess
import sys

import numpy as np
import pytest

from core.errors import StorageFull
from core.room import Room


def test_a_large_array_is_a_file_without_a_name_and_a_small_one_is_memory(tmp_path):
    room = Room(tmp_path / "scratch", least_bytes=1000)
    large, small = room.empty((50, 5), np.int32), room.empty(3, np.int64)
    large[:] = 7
    assert large.shape == (50, 5) and large.sum() == 7 * 250
    assert isinstance(large.base, np.memmap) and small.base is None
    assert list((tmp_path / "scratch").iterdir()) == []


def test_without_a_folder_everything_is_memory():
    assert Room().empty(200 << 17, np.uint8).base is None


def test_a_disk_without_room_is_told_in_a_sentence_and_does_not_end_the_process(tmp_path):
    # More than a file may hold, which is refused before anything is written.
    with pytest.raises(StorageFull, match="no room for"):
        Room(tmp_path, least_bytes=1).empty(1 << 46, np.uint8)


def test_a_mapped_array_is_not_the_process_s_own_memory(tmp_path):
    """In a process of its own: 256 MiB are written, and what cannot be taken back from it hardly grows."""
    script = (
        "import numpy as np, sys\nfrom pathlib import Path\nfrom core.room import Room\n"
        "own = lambda: int(next(x for x in open('/proc/self/status') if x.startswith('RssAnon')).split()[1])\n"
        "before = own()\na = Room(Path(sys.argv[1])).empty(1 << 28, np.uint8)\na[:] = 1\nprint(own() - before)"
    )
    env = os.environ | {"PYTHONPATH": os.getcwd()}
    said = subprocess.run([sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, env=env)
    assert int(said.stdout) < 16 << 10, said.stderr


@pytest.mark.parametrize(("fault", "told"), [(errno.ENOSPC, StorageFull), (errno.EIO, OSError)])
def test_a_full_disk_is_told_as_such_and_another_fault_stays_what_it_is(tmp_path, monkeypatch, fault, told):
    def refuse(*_):
        raise OSError(fault, os.strerror(fault))

    monkeypatch.setattr(os, "posix_fallocate", refuse)
    with pytest.raises(told):
        Room(tmp_path, least_bytes=1).empty(10, np.uint8)
