"""Processes that outlive the one that started them: which is which, what they hold, how they end."""

import contextlib
import os
import pwd
import signal
import time
from pathlib import Path
from typing import Any

_PROC = Path("/proc")
_STATE, _PARENT, _STARTED = 0, 1, 19  # places in /proc/PID/stat after the name


def supported() -> bool:
    """Whether this system says what the stack must know of a process."""
    return (_PROC / "self" / "stat").is_file()


def mark(pid: int) -> str:
    """When the process began, which tells it from a later one of the same number; "" where none runs."""
    fields = _fields(pid)
    return "" if not fields or (fields[_STATE] in "ZX" and not _has_threads(pid)) else fields[_STARTED]


def tree(pid: int) -> list[int]:
    """The process and everything below it."""
    children: dict[int, list[int]] = {}
    for entry in _PROC.iterdir():
        if entry.name.isdecimal() and (fields := _fields(int(entry.name))):
            children.setdefault(int(fields[_PARENT]), []).append(int(entry.name))
    found = [pid]
    for each in found:
        found.extend(children.get(each, ()))
    return found


def resident_mib(pid: int) -> float:
    """Memory of the process, and what its children hold alone, MiB."""
    first, *others = tree(pid)
    return (_memory_kib(first, "VmRSS:") + sum(_memory_kib(other, "RssAnon:") for other in others)) / 1024


def send(pids: list[int], number: signal.Signals) -> None:
    """A signal to those of them that still run."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def gone(pids: list[int], within_s: float) -> bool:
    """Whether all of them ended within a time."""
    deadline = time.monotonic() + within_s
    while any(mark(pid) for pid in pids):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def end(pid: int, number: signal.Signals, patience_s: float) -> None:
    """Ask the process to end, and make it and its children when it does not."""
    pids = tree(pid)
    send(pids[:1], number)
    if not gone(pids, patience_s):
        kill(pid, pids)


def kill(pid: int, pids: list[int] | None = None) -> None:
    """End the process and its children at once, as a lost machine would."""
    pids = pids or tree(pid)
    send(pids, signal.SIGKILL)
    gone(pids, 10)


def run_as(account: str) -> dict[str, Any]:
    """The arguments of subprocess that run a program as an account."""
    return {"user": account, "group": pwd.getpwnam(account).pw_gid, "extra_groups": []} if account else {}


def _fields(pid: int) -> list[str]:
    try:
        return (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def _has_threads(pid: int) -> bool:
    """Whether threads of an ended process still hold its files and ports."""
    try:
        return len(os.listdir(_PROC / str(pid) / "task")) > 1
    except OSError:
        return False


def _memory_kib(pid: int, name: str) -> int:
    try:
        lines = (_PROC / str(pid) / "status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith(name)), 0)
