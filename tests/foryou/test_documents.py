"""The documents say what the code does."""

import re
from pathlib import Path

from core.errors import ForyouError
from core.settings import Settings
from foryou.cli import build

ROOT = Path(__file__).resolve().parents[2]


def test_operations_lists_every_setting_as_it_is():
    text = (ROOT / "docs" / "operations.md").read_text()
    listed = re.findall(r"^\| `FORYOU_(\w+)` \| `?([^`|]+?)`? \| (.+) \|$", text, re.MULTILINE)
    stated = {name.lower(): (default, meaning) for name, default, meaning in listed}
    assert stated == {
        name: (str(field.default) if field.default not in ((), "") else "none", field.description)
        for name, field in Settings.model_fields.items()
    }


def test_the_readme_lists_every_command():
    named = set(re.findall(r"^\| `foryou (\w+)", (ROOT / "README.md").read_text(), re.MULTILINE))
    app = build()
    commands = {command.callback.__name__ for command in app.registered_commands if command.callback}
    groups = {group.name for group in app.registered_groups}
    assert named == commands | groups


def test_the_readme_and_the_help_have_every_exit_code():
    def codes(kind: type[ForyouError]) -> set[int]:
        return {kind.exit_code}.union(*(codes(child) for child in kind.__subclasses__()))

    readme = {int(code) for code in re.findall(r"^\| (\d+) \|", (ROOT / "README.md").read_text(), re.MULTILINE)}
    helped = {int(code) for code in re.findall(r"^(\d+) ", build().info.epilog or "", re.MULTILINE)}
    assert readme == helped == codes(ForyouError) | {0, 130}


def test_every_link_of_the_documents_leads_somewhere():
    broken = []
    for page in [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]:
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
            if not (page.parent / target).exists():
                broken.append(f"{page.name}: {target}")
    assert broken == []
