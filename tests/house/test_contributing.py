"""The recipes of CONTRIBUTING.md apply to this tree, pass their own tests and check their types."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def recipes() -> dict[str, str]:
    """The diff of each section that has one."""
    sections = re.split(r"^## ", (ROOT / "CONTRIBUTING.md").read_text(), flags=re.MULTILINE)[1:]
    found = {}
    for section in sections:
        for diff in re.findall(r"^```diff\n(.*?)^```$", section, re.MULTILINE | re.DOTALL):
            found[section.splitlines()[0]] = diff
    return found


@pytest.fixture(scope="module")
def copy(tmp_path_factory) -> Path:
    """The tracked files of this tree as they are now, in a repository of their own."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode != 0:
        pytest.skip("not a git checkout, so there is no list of tracked files")
    folder = tmp_path_factory.mktemp("contributing")
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, folder / name)
    if (ROOT / ".mypy_cache").is_dir():  # it goes by the files' contents, and without it every library is read again
        shutil.copytree(ROOT / ".mypy_cache", folder / ".mypy_cache")
    in_copy(folder, "git", "init", "-q")
    return folder


def in_copy(folder: Path, *command: str, given: str | None = None) -> None:
    """Run a command there; its output is the failure."""
    result = subprocess.run(command, cwd=folder, input=given, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


def test_there_is_a_recipe_for_each_kind_of_change():
    assert list(recipes()) == ["A filter", "A source", "A feature", "A backend"]


@pytest.mark.parametrize("name", ["A filter", "A source", "A feature", "A backend"])
def test_each_recipe_applies_alone(copy, name):
    in_copy(copy, "git", "apply", "--check", "-", given=recipes()[name])


@pytest.mark.slow
def test_all_recipes_together_pass_their_tests_their_types_and_the_style(copy):
    for diff in recipes().values():
        in_copy(copy, "git", "apply", "-", given=diff)
    changed = re.findall(r"^\+\+\+ b/(.+)$", "".join(recipes().values()), re.MULTILINE)
    tests = [path for path in changed if path.startswith("tests/")]
    code = [path for path in changed if not path.startswith("tests/")]
    in_copy(copy, sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *tests)
    in_copy(copy, sys.executable, "-m", "mypy", "--strict", *code)
    in_copy(copy, sys.executable, "-m", "ruff", "check", "-q", *changed)
    in_copy(copy, sys.executable, "-m", "ruff", "format", "--check", "-q", *changed)
