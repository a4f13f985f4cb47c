"""Every notebook runs from its first cell to its last, is committed without outputs, and defines nothing."""

import ast
import os
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from tests.conftest import REPOSITORY
from tests.e2e.conftest import trained_home  # noqa: F401
from tests.e2e.tiny import copy

NOTEBOOKS = sorted((REPOSITORY / "notebooks").glob("*.ipynb"))


def cells(path):
    """The notebook and its code cells."""
    notebook = nbformat.read(path, as_version=4)
    return notebook, [cell for cell in notebook.cells if cell.cell_type == "code"]


def executed(path, monkeypatch, **environment):
    """The code cells after a run; a cell that fails raises."""
    for name, value in environment.items():
        monkeypatch.setenv(name, str(value))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(REPOSITORY), *filter(None, [os.environ.get("PYTHONPATH")])]))
    notebook, code = cells(path)
    NotebookClient(notebook, timeout=180, kernel_name="python3").execute(cwd=str(path.parent))
    return code


def pictures(code):
    """How many figures the cells show."""
    return sum("image/png" in output.get("data", {}) for cell in code for output in cell.outputs)


def test_there_are_notebooks():
    assert [path.stem for path in NOTEBOOKS] == [
        "01_the_log", "02_retrieval", "03_ranker_and_calibration", "04_why_this_feed",
    ]  # fmt: skip


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: Path(path).stem)
def test_a_notebook_is_kept_without_outputs_and_defines_nothing(path):
    _, code = cells(path)
    for cell in code:
        assert cell.outputs == [] and cell.execution_count is None
        source = "\n".join(line for line in cell.source.splitlines() if not line.startswith("%"))
        tree = compile(source, path.name, "exec", ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        assert not any(isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) for n in ast.walk(tree))


@pytest.mark.slow
def test_the_log_of_a_world_is_drawn(monkeypatch):
    assert pictures(executed(NOTEBOOKS[0], monkeypatch)) == 4


@pytest.mark.slow
@pytest.mark.parametrize(("number", "figures"), [(1, 4), (2, 4), (3, 1)])
def test_the_tiny_product_is_taken_apart(number, figures, monkeypatch, trained_home, tmp_path):  # noqa: F811
    home = copy(trained_home, tmp_path / "home")
    assert pictures(executed(NOTEBOOKS[number], monkeypatch, FORYOU_HOME=home)) == figures
