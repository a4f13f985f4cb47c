"""The table of bad input names tests that exist."""

import re
from pathlib import Path

from tests.conftest import REPOSITORY

HERE = Path(__file__).parent


def test_every_test_of_the_table_exists():
    table = (HERE / "BAD_INPUT.md").read_text()
    named = re.findall(r"`([\w/]+\.py)(?:::(\w+))?`", table)
    assert len(named) > 30
    for file, test in named:
        path = REPOSITORY / file if "/" in file else HERE / file
        assert f"def {test}" in path.read_text(), f"{file}::{test}"
