"""The programs that the servers are made of: where they are, or what to install."""

import re
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

from core.errors import ConfigError

JAVA = 17
_JAVA_HOMES = Path("/usr/lib/jvm")
_POSTGRES_HOMES = Path("/usr/lib/postgresql")


def program(name: str, package: str, elsewhere: Iterable[Path] = ()) -> str:
    """The path of a program; ConfigError that says which Debian package has it."""
    found = shutil.which(name)
    if found:
        return found
    for path in elsewhere:
        if path.is_file():
            return str(path)
    raise ConfigError(f"The program {name} is not on PATH; install {package} (Debian: apt-get install {package}).")


def redis() -> str:
    """The program redis-server."""
    return program("redis-server", "redis-server")


def maven() -> str:
    """The program mvn."""
    return program("mvn", "maven")


def postgres() -> Path:
    """The folder of PostgreSQL's programs, which Debian keeps off PATH; the newest version's."""
    homes = sorted(_POSTGRES_HOMES.glob("*/bin"), key=lambda home: _number(home.parent.name), reverse=True)
    initdb = Path(program("initdb", "postgresql", (home / "initdb" for home in homes)))
    for folder in (initdb.resolve().parent, *homes):
        if (folder / "initdb").is_file() and (folder / "postgres").is_file():
            return folder
    raise ConfigError(f"There is no program postgres beside {initdb}; install postgresql.")


def java() -> str:
    """Java 17, which is what both Kafka 4 and Cassandra 5 run on; ConfigError where there is another or none."""
    package = f"openjdk-{JAVA}-jre-headless"
    others = sorted(_JAVA_HOMES.glob(f"*{JAVA}*/bin/java"))
    found = program("java", package, others)
    version = _java_version(found)
    if version == JAVA:
        return found
    if others:
        return str(others[0])
    raise ConfigError(f"The program {found} is Java {version or 'of no known version'}; install {package} beside it.")


def _java_version(path: str) -> int:
    said = subprocess.run([path, "-version"], capture_output=True, text=True, check=False).stderr
    match = re.search(r'version "(\d+)', said)
    return int(match[1]) if match else 0


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0
