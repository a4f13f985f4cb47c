"""One server process: its record on the disk, its start, its end."""

import os
import shutil
import signal
import subprocess
import threading
import time
from pathlib import Path

import msgspec

from core.errors import ConfigError, CorruptData, NotFound, Unavailable
from deploy import processes
from deploy.files import last_lines, write_whole
from deploy.ports import becomes_free, free_port, is_free
from deploy.server import Place, Server

READY_WITHIN_S = 120.0
_PATIENCE_S = 25.0  # for a server to end in order
_LINGERING_S = 2.0
_LOG_LIMIT = 8 << 20
_BLAME = ("ERROR", "FATAL", "Exception", "rror:")
_WHY_LINES, _WHY_LENGTH = 4, 600


class Record(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is remembered of a server between two runs; pid 0 is one that was stopped."""

    port: int
    inner_port: int = 0
    data: str
    pid: int = 0
    mark: str = ""
    ready_s: float = 0.0


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """How a server is."""

    server: str
    state: str
    address: str = ""
    pid: int = 0
    rss_mib: float = 0.0
    ready_s: float = 0.0
    data: str = ""


class Node:
    """A server in a folder of its own; whoever writes holds the lock of the stack."""

    def __init__(self, server: Server, folder: Path) -> None:
        self.server = server
        self.folder = folder.absolute()
        self.log = self.folder / "log"
        self._file = self.folder / "server.json"
        self._spawned: subprocess.Popen[bytes] | None = None

    def record(self) -> Record | None:
        """What is remembered of it; CorruptData where that cannot be read."""
        try:
            return msgspec.json.decode(self._file.read_bytes(), type=Record)
        except FileNotFoundError:
            return None
        except msgspec.DecodeError as error:
            raise CorruptData(
                f"The file {self._file} cannot be read ({error}); end {self.server.name} by hand and delete the file."
            ) from error

    def place(self) -> Place:
        """Where it runs; NotFound where it never did."""
        record = self.record()
        if record is None:
            raise NotFound(f"There is no {self.server.name} in {self.folder}; start one with `foryou stack up`.")
        return Place(self.folder, Path(record.data), record.port, record.inner_port)

    def address(self) -> str:
        """What a client is told."""
        return self.server.address(self.place())

    def pid(self) -> int:
        """The number of its process; 0 where it does not run."""
        record = self.record()
        return record.pid if record and record.pid and processes.mark(record.pid) == record.mark else 0

    def claim(self, wanted_port: int, taken: set[int]) -> None:
        """Choose the ports for the next start: the wanted one, or as before, or free ones.

        Raises ConfigError where the wanted port is taken.
        """
        record = self.record()
        name = self.server.name
        if self.pid():
            if wanted_port and record and wanted_port != record.port:
                raise ConfigError(f"{name} runs on port {record.port} already; stop it first to use {wanted_port}.")
            return
        if wanted_port and not is_free(wanted_port):
            raise ConfigError(f"The port {wanted_port} for {name} is taken by another program; choose another.")
        self.folder.mkdir(parents=True, exist_ok=True)
        data = record.data if record and Path(record.data).parent.is_dir() else ""
        port = wanted_port or self._choose(name, record.port if record else 0, taken)
        taken.add(port)
        inner = self._choose(f"{name} inner", record.inner_port if record else 0, taken) if self.server.inner else 0
        taken.add(inner)
        self._write(Record(port=port, inner_port=inner, data=data or str(self.server.data_folder(self.folder))))

    def _choose(self, name: str, before: int, taken: set[int]) -> int:
        if before and before not in taken and is_free(before):
            return before
        return free_port(f"{self.folder} {name}", taken)

    def start(self, stopped: threading.Event | None = None) -> bool:
        """Start it where it does not run, and wait until it answers; whether it had to be started.

        Raises ConfigError without its program and Unavailable when it ends or does not answer in time.
        """
        began = time.monotonic()
        running = self.pid()
        offset = 0 if running else self._spawn()
        stopped = stopped or threading.Event()
        self._wait(offset, began, stopped)
        record = self.record()
        if record and not running and not stopped.is_set():
            self._write(msgspec.structs.replace(record, ready_s=round(time.monotonic() - began, 1)))
        return not running

    def _spawn(self) -> int:
        """Start the process; the length of its log before."""
        record, place = self.record(), self.place()
        assert record is not None
        for port in filter(None, (place.port, place.inner_port)):
            if not becomes_free(port, _LINGERING_S):
                raise ConfigError(f"The port {port} of {self.server.name} is taken by another program.")
        command = self.server.command(place)
        if self.log.is_file() and self.log.stat().st_size > _LOG_LIMIT:
            self.log.replace(self.log.with_name("log.1"))
        with self.log.open("ab") as log:
            offset = log.tell()
            self._spawned = subprocess.Popen(
                command.words, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
                cwd=place.data, env={**os.environ, **command.environment}, **processes.run_as(command.account),
            )  # fmt: skip
        pid = self._spawned.pid
        self._write(msgspec.structs.replace(record, pid=pid, mark=processes.mark(pid), ready_s=0.0))
        return offset

    def _wait(self, offset: int, began: float, stopped: threading.Event) -> None:
        place, pause = self.place(), 0.02
        while not stopped.is_set():
            alive = self.pid()
            try:
                self.server.probe(place)
            except OSError as error:
                if not alive:
                    raise Unavailable(self._why_it_ended(offset)) from error
                if time.monotonic() - began > READY_WITHIN_S:
                    self.kill()
                    name = self.server.name
                    raise Unavailable(
                        f"{name} did not answer within {READY_WITHIN_S:.0f} s ({error}); its log is {self.log}."
                    ) from error
            else:
                if alive:
                    return
                raise Unavailable(self._why_it_ended(offset))
            stopped.wait(pause)
            pause = min(pause * 1.5, 0.25)

    def _why_it_ended(self, offset: int) -> str:
        lines = [line.strip() for line in last_lines(self.log, 60, offset)]
        lines = [line for line in lines if line and not line.startswith(("at ", "..."))]
        blamed = (number for number, line in enumerate(lines) if any(word in line for word in _BLAME))
        first = next(blamed, max(0, len(lines) - _WHY_LINES))
        said = " | ".join(lines[first : first + _WHY_LINES])[:_WHY_LENGTH]
        return f"{self.server.name} ended while it started; the last lines of {self.log}: {said or '(nothing)'}"

    def stop(self) -> bool:
        """End it in order; whether it ran."""
        pid = self.pid()
        if pid:
            processes.send(processes.tree(pid), signal.SIGCONT)
            processes.end(pid, self.server.stops_by, _PATIENCE_S)
        self._forget()
        return bool(pid)

    def kill(self) -> None:
        """End it at once, as a lost machine would."""
        if pid := self.pid():
            processes.kill(pid)
        self._forget()

    def suspend(self) -> None:
        """Let it stand still: connections stay and nothing answers."""
        if pid := self.pid():
            processes.send(processes.tree(pid), signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        if pid := self.pid():
            processes.send(processes.tree(pid), signal.SIGCONT)

    def remove(self) -> None:
        """End it and delete everything that it kept."""
        self.kill()
        record = self.record()
        if record and self.folder not in Path(record.data).parents:
            shutil.rmtree(Path(record.data).parent, ignore_errors=True)
        shutil.rmtree(self.folder, ignore_errors=True)

    def status(self) -> Status:
        """How it is; this asks it one question."""
        record, pid = self.record(), self.pid()
        if record is None:
            return Status(server=self.server.name, state="absent")
        if not pid:
            state = "lost" if record.pid else "stopped"
            return Status(server=self.server.name, state=state, data=record.data)
        try:
            self.server.probe(self.place())
            state = "ready"
        except OSError:
            state = "not answering"
        return Status(
            server=self.server.name, state=state, address=self.address(), pid=pid, data=record.data,
            rss_mib=round(processes.resident_mib(pid), 1), ready_s=record.ready_s,
        )  # fmt: skip

    def _forget(self) -> None:
        record = self.record()
        if record and record.pid:
            self._write(msgspec.structs.replace(record, pid=0, mark="", ready_s=0.0))
        if self._spawned is not None:
            self._spawned.poll()

    def _write(self, record: Record) -> None:
        write_whole(self._file, msgspec.json.encode(record).decode() + "\n")
