"""PostgreSQL, which refuses to run as root: there it runs as another account, in a folder that this one can reach."""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from core.errors import ConfigError, Unavailable
from deploy import processes, programs
from deploy.files import filled
from deploy.ports import LOOPBACK
from deploy.probes import ask_postgres
from deploy.server import Command, Place

_NAME = "foryou"  # of the user, its password and the database
_ACCOUNTS = ("postgres", "nobody")
_KEPT = Path("/var/tmp")  # a temporary folder that outlives a restart of the machine


@dataclass(frozen=True)
class PostgresServer:
    """One PostgreSQL with the user and the database foryou; the user may make further databases."""

    name: str = "postgres"
    tell: Callable[[str], None] = print
    inner: bool = False
    stops_by: signal.Signals = signal.SIGINT

    def data_folder(self, folder: Path) -> Path:
        """Below its folder, or a new folder elsewhere where its account cannot get there."""
        programs.postgres()
        account = account_to_run_as()
        if not account or _reachable(folder):
            return folder / "data"
        place = Path(tempfile.mkdtemp(prefix="foryou-postgres-", dir=_KEPT if _KEPT.is_dir() else None))
        shutil.chown(place, account)
        self.tell(f"PostgreSQL runs as {account}, which may not enter {folder}; its data are in {place}.")
        return place / "data"

    def command(self, place: Place) -> Command:
        """Make its data once and write its settings."""
        programs_folder, account = programs.postgres(), account_to_run_as()
        if not place.data.exists():
            _make(programs_folder, place.data, account)
        _forget_the_dead(place.data / "postmaster.pid")
        settings = place.data / "postgresql.conf"
        settings.write_text(filled("postgres/postgresql.conf", host=LOOPBACK, port=place.port))
        return Command([str(programs_folder / "postgres"), "-D", str(place.data)], account, {"LC_ALL": "C.UTF-8"})

    def probe(self, place: Place) -> None:
        """A session."""
        ask_postgres(place.port, _NAME, _NAME)

    def address(self, place: Place) -> str:
        """A URL of the database."""
        return f"postgresql://{_NAME}:{_NAME}@{LOOPBACK}:{place.port}/{_NAME}"


def account_to_run_as() -> str:
    """The account for PostgreSQL where this one is root, else ""."""
    if os.geteuid() != 0:
        return ""
    known = {entry.pw_name for entry in pwd.getpwall()}
    for name in _ACCOUNTS:
        if name in known:
            return name
    raise ConfigError("PostgreSQL does not run as root, and there is no account postgres; install postgresql.")


def _reachable(folder: Path) -> bool:
    """Whether any account may pass through the folder and all above it."""
    return all(above.stat().st_mode & 0o001 for above in (folder, *folder.resolve().parents))


def _forget_the_dead(lock: Path) -> None:
    """Delete the lock file of a killed server that nobody has waited for, which PostgreSQL takes for a running one."""
    if lock.is_file():
        pid = lock.read_text().partition("\n")[0]
        if pid.isdecimal() and not processes.mark(int(pid)):
            lock.unlink()


def _make(programs_folder: Path, data: Path, account: str) -> None:
    """A data folder with the user and the database, whole or not at all."""
    part = data.with_name(data.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(mode=0o700)
    if account:
        shutil.chown(part, account, pwd.getpwnam(account).pw_gid)
    with tempfile.NamedTemporaryFile("w", prefix="foryou-") as password:
        password.write(_NAME)
        password.flush()
        if account:
            shutil.chown(password.name, account)
        options = ["-U", _NAME, f"--pwfile={password.name}", "-A", "scram-sha-256", "-E", "UTF8", "--locale=C.UTF-8"]
        _run([str(programs_folder / "initdb"), "-D", str(part), *options], part, account)
    alone = [str(programs_folder / "postgres"), "--single", "-D", str(part), "postgres"]
    _run(alone, part, account, f"CREATE DATABASE {_NAME}\n")
    part.replace(data)


def _run(command: list[str], folder: Path, account: str, given: str = "") -> None:
    environment = {**os.environ, "LC_ALL": "C.UTF-8"}
    extra = processes.run_as(account)
    result = subprocess.run(
        command, input=given, capture_output=True, text=True, check=False, cwd=folder, env=environment, **extra
    )
    if result.returncode != 0:
        said = (result.stderr or result.stdout).strip().splitlines()
        raise Unavailable(f"PostgreSQL could not make {folder}: {said[-1] if said else result.returncode}.")
