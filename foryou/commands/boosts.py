"""`foryou boosts`: the business rules of a home, and which of them hold now."""

from datetime import UTC, datetime
from typing import Final

from core.clock import system_clock
from feeds.boosts import RULES_FILE, Rule, parse_rules
from foryou.commands.home import HomeOption, JsonOption, settings_of
from foryou.console import note, show_json, show_table

_NEVER: Final = "at once"


def boosts(home: HomeOption = None, json: JsonOption = False) -> None:
    """Check HOME/boosts.json, the boosts and pins of videos and authors, and show which of them hold now.

    Example: foryou boosts

    A rule that is malformed is named in a sentence, and the command exits with 2. Running servers read a changed file
    within 15 seconds; one that they cannot read changes nothing.
    """
    path = settings_of(home=home).file(RULES_FILE)
    rules = parse_rules(path.read_bytes(), str(path)) if path.is_file() else ()
    if json:
        show_json([{**_fields(rule), "state": _state(rule, system_clock())} for rule in rules])
        return
    rows = [
        (number, rule.video or rule.author, "video" if rule.video else "author", _effect(rule), rule.owner,
         _time(rule.starts_ms), _time(rule.expires_ms), _state(rule, system_clock()))
        for number, rule in enumerate(rules, 1)
    ]  # fmt: skip
    show_table(f"Rules in {path}", (">", "name", "of", "effect", "owner", "starts", "expires", "state"), rows)
    if not path.is_file():
        note("There is no such file, and so no rule; docs/reranking.md shows one.")


def _fields(rule: Rule) -> dict[str, object]:
    return {name: getattr(rule, name) for name in Rule.__dataclass_fields__}


def _state(rule: Rule, now_ms: int) -> str:
    return "holds" if rule.holds(now_ms) else "expired" if now_ms >= rule.expires_ms else "to come"


def _effect(rule: Rule) -> str:
    return f"place {rule.slot + 1}" if rule.slot >= 0 else f"score x {rule.factor:g}"


def _time(time_ms: int) -> str:
    return datetime.fromtimestamp(time_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M UTC") if time_ms else _NEVER
