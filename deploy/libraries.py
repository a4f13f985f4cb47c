"""The Java libraries of a server: fetched once with Maven, shared by every stack of this account."""

import shutil
import subprocess
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

from core.errors import Unavailable
from deploy import programs
from deploy.files import TEMPLATES, locked

_GOAL = "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies"


def default_cache() -> Path:
    """Where the libraries lie unless a stack is told otherwise."""
    return Path.home() / ".cache" / "foryou" / "stack"


def libraries(name: str, cache: Path, tell: Callable[[str], None]) -> Path:
    """The folder with the jars of deploy/NAME/pom.xml; a folder that is there is complete.

    Raises ConfigError without Maven and Unavailable when the download fails.
    """
    pom = TEMPLATES / name / "pom.xml"
    folder = cache / f"{name}-{sha256(pom.read_bytes()).hexdigest()[:16]}"
    if folder.is_dir():
        return folder
    maven = programs.maven()
    with locked(folder.with_name(folder.name + ".lock")):
        if not folder.is_dir():
            tell(f"Fetching {name} with Maven into {folder} (once; about 60 MB).")
            _fetch(maven, pom, folder)
    return folder


def _fetch(maven: str, pom: Path, folder: Path) -> None:
    part = folder.with_name(folder.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    command = [maven, "-q", "-B", "-f", str(pom), _GOAL, "-DincludeScope=runtime", f"-DoutputDirectory={part}"]
    result = subprocess.run(command, cwd=part, capture_output=True, text=True, check=False)
    if result.returncode != 0 or not any(part.glob("*.jar")):
        said = [line for line in (result.stdout + result.stderr).splitlines() if line.strip()]
        reason = said[0].removeprefix("[ERROR] ").strip() if said else f"exit status {result.returncode}"
        raise Unavailable(f"Maven could not fetch {pom.parent.name} ({reason}); look at its settings and try again.")
    part.replace(folder)
