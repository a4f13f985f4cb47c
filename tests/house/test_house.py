"""The rules of the house: who may import whom, what is installed, what must not be written down."""

import ast
import re
import subprocess
import sys
import tomllib
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PACKAGES = sorted(init.parent.name for init in ROOT.glob("*/__init__.py") if init.parent.name != "tests")

DEFAULT_INSTALL = {
    "aiokafka",
    "cassandra-driver",
    "faiss-cpu",
    "fastapi",
    "feast",
    "lightgbm",
    "mlflow",
    "pandas",
    "pyarrow",
    "ray",
    "redis",
    "torch",
}
# Heavy, and of no use to a process that only serves.
TRAINING_ONLY = ("torch", "mlflow", "ray")
CORE_MAY_IMPORT = {"core", "numpy", "msgspec", "pydantic", "pydantic_settings"}

# Written in pieces, so that this file holds to its own rule.
REGISTRY_HOSTS = (
    "py" + "pi.org",
    "python" + "hosted.org",
    "download.py" + "torch.org",
    "conda" + ".anaconda.org",
)
MACHINE_PATH = re.compile(r"(?<![\w.\-~/])/(?:wo" + r"rk|ro" + r"ot)/")


def requirement_name(requirement: str) -> str:
    """The bare, lower-case name of a requirement such as `ray[serve]>=2`."""
    return re.split(r"[\[<>=!~; ]", requirement, maxsplit=1)[0].lower()


def extra(name: str) -> set[str]:
    """The package names of one extra of the project, with the extras that it includes."""
    names: set[str] = set()
    for requirement in PYPROJECT["project"]["optional-dependencies"][name]:
        if requirement_name(requirement) == "foryou":
            included = requirement[requirement.index("[") + 1 : requirement.index("]")]
            names |= set().union(*(extra(part) for part in included.split(",")))
        else:
            names.add(requirement_name(requirement))
    return names


def base() -> set[str]:
    """The package names that every install has."""
    return {requirement_name(r) for r in PYPROJECT["project"]["dependencies"]}


def tracked_texts() -> list[tuple[str, str]]:
    """(path, text) of every file that git tracks and that is text."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode != 0:
        pytest.skip("not a git checkout, so there is no list of tracked files")
    texts = []
    for path in filter(None, listed.stdout.split("\0")):
        file = ROOT / path
        if not file.is_file():
            continue
        content = file.read_bytes()
        if b"\0" not in content:
            texts.append((path, content.decode("utf-8", errors="replace")))
    return texts


def test_imports_point_down_only() -> None:
    program = Path(sys.executable).with_name("lint-imports")
    result = subprocess.run([program, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


def test_every_package_is_declared_to_the_build_and_to_the_layers() -> None:
    built = set(PYPROJECT["tool"]["setuptools"]["packages"]["find"]["include"])
    layered = set(PYPROJECT["tool"]["importlinter"]["root_packages"])
    assert [name for name in PACKAGES if not {name, f"{name}.*"} <= built] == []
    assert [name for name in PACKAGES if name not in layered] == []


def test_the_core_imports_only_the_standard_library_numpy_msgspec_and_pydantic() -> None:
    allowed = CORE_MAY_IMPORT | sys.stdlib_module_names
    strangers = []
    for file in (ROOT / "core").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            modules: list[str] = []
            if isinstance(node, ast.Import):
                modules = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                modules = [node.module or ""]
            strangers += [
                f"{file.relative_to(ROOT)}: {module}" for module in modules if module.split(".")[0] not in allowed
            ]
    assert strangers == []


def test_the_default_install_has_every_required_package() -> None:
    assert sorted(DEFAULT_INSTALL - base() - extra("all")) == []


def test_the_serving_install_has_neither_torch_nor_mlflow_nor_ray() -> None:
    assert sorted(set(TRAINING_ONLY) & (base() | extra("serving"))) == []


def test_constraints_are_names_and_versions_and_nothing_else() -> None:
    line_form = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*==[A-Za-z0-9][A-Za-z0-9.+!]*")
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    assert [line for line in lines if not line_form.fullmatch(line)] == []


def test_every_direct_dependency_is_constrained() -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    constrained = {line.partition("==")[0].lower() for line in lines}
    assert sorted((base() | extra("all") | extra("dev")) - constrained) == []


def test_no_tracked_file_names_a_registry_host_or_a_path_of_one_machine() -> None:
    found = []
    for path, text in tracked_texts():
        found += [f"{path}: {host}" for host in REGISTRY_HOSTS if host in text]
        found += [f"{path}: {match[0]}" for match in MACHINE_PATH.finditer(text)]
    assert found == []


def test_serving_loads_neither_torch_nor_mlflow_nor_ray() -> None:
    entries = ("foryou.bootstrap", "serving.app")
    for entry in entries:
        package = entry.partition(".")[0]
        if find_spec(package) is None or find_spec(entry) is None:
            pytest.skip(f"{entry} does not exist yet")
    program = f"import sys, {', '.join(entries)}\nprint(*(name for name in {TRAINING_ONLY!r} if name in sys.modules))"
    result = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert result.stdout.split() == []
