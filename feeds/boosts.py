"""Business rules: boosts and pins of a video or an author, each with an owner and an expiry, in one small JSON file.

{"rules": [{"video": "v1", "slot": 3, "owner": "ana", "expires": "2026-12-01T00:00:00Z"},
           {"author": "a7", "factor": 1.5, "owner": "bo", "starts": "2026-11-01T00:00:00Z", "expires": "..."}]}
"""

import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import msgspec

from core.errors import InputError

_log = logging.getLogger(__name__)

RULES_FILE: Final = "boosts.json"
_FIELDS: Final = {"video", "author", "factor", "slot", "owner", "starts", "expires"}
_MOST_SLOT: Final = 49


@dataclass(frozen=True, slots=True)
class Rule:
    """What holds for one video or one author (the other is "") from `starts_ms` up to, without, `expires_ms`: a
    `factor` on the score, or the place `slot` of each page (0 is the first; -1: none)."""

    video: str
    author: str
    factor: float
    slot: int
    owner: str
    starts_ms: int
    expires_ms: int

    def holds(self, now_ms: int) -> bool:
        """Whether it has an effect now."""
        return self.starts_ms <= now_ms < self.expires_ms


def parse_rules(raw: bytes, name: str) -> tuple[Rule, ...]:
    """The rules of a file; InputError names the first that is malformed, and what is wrong with it."""
    try:
        document = msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{name} is not valid JSON ({error}); no rule of it is used.") from error
    listed = document.get("rules") if isinstance(document, dict) else None
    if not isinstance(listed, list):
        raise InputError(f'{name} is not an object with a list "rules".')
    return tuple(_rule(item, f"Rule {number} of {name}") for number, item in enumerate(listed, 1))


def _rule(item: Any, where: str) -> Rule:
    if not isinstance(item, dict):
        raise InputError(f"{where} is not an object.")
    unknown = sorted(set(item) - _FIELDS)
    if unknown:
        raise InputError(f"{where} has a field {unknown[0]}, which no rule has.")
    if ("video" in item) == ("author" in item):
        raise InputError(f"{where} must name either a video or an author.")
    if ("factor" in item) == ("slot" in item):
        raise InputError(f"{where} must have either a factor or a slot.")
    starts_ms = _moment(item, "starts", where) if "starts" in item else 0
    expires_ms = _moment(item, "expires", where)
    if expires_ms <= starts_ms:
        raise InputError(f"{where} expires before it starts.")
    return Rule(
        video=_text(item, "video", where) if "video" in item else "",
        author=_text(item, "author", where) if "author" in item else "",
        factor=_factor(item["factor"], where) if "factor" in item else 1.0,
        slot=_slot(item["slot"], where) if "slot" in item else -1,
        owner=_text(item, "owner", where),
        starts_ms=starts_ms,
        expires_ms=expires_ms,
    )


def _text(item: Mapping[str, Any], field: str, where: str) -> str:
    value = item.get(field)
    if not isinstance(value, str) or not value:
        raise InputError(f"{where} needs a {field}, a text that is not empty.")
    return value


def _factor(value: Any, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value < 0:
        raise InputError(f"{where} has the factor {value!r}; it must be a number of at least 0.")
    return float(value)


def _slot(value: Any, where: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= _MOST_SLOT:
        raise InputError(f"{where} has the slot {value!r}; it must be a whole number from 0 to {_MOST_SLOT}.")
    return value


def _moment(item: Mapping[str, Any], field: str, where: str) -> int:
    text = item.get(field)
    try:
        moment = datetime.fromisoformat(text)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        raise InputError(f"{where} needs {field}, a time such as 2026-12-01T00:00:00Z, not {text!r}.") from None
    if moment.tzinfo is None:
        raise InputError(f"{where} gives {field} without a time zone; write {text}Z for UTC.")
    return round(moment.timestamp() * 1000)


class RulesFile:
    """The rules of a file as they are now; no file, no rules.

    What cannot be read when a process begins is refused; later the last rules that could be read stand, and a warning
    says so once.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stamp = self._changed()
        self._rules = self._read()

    def current(self) -> tuple[Rule, ...]:
        """The rules, read again where the file has changed."""
        stamp = self._changed()
        if stamp != self._stamp:
            self._stamp = stamp
            try:
                self._rules = self._read()
            except InputError as error:
                _log.warning("The rules of before stand: %s", error.sentence)
        return self._rules

    def _changed(self) -> tuple[int, int]:
        try:
            status = self._path.stat()
        except FileNotFoundError:
            return 0, 0
        return status.st_mtime_ns, status.st_size

    def _read(self) -> tuple[Rule, ...]:
        try:
            raw = self._path.read_bytes()
        except FileNotFoundError:
            return ()
        except OSError as error:
            raise InputError(f"{self._path.name} cannot be read ({error.strerror}).") from error
        return parse_rules(raw, self._path.name)
