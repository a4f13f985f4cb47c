"""What intake lets through, checked again where a topic is read: others may write to it; numbers must fit columns."""

from collections.abc import Callable, Sequence
from functools import cache
from operator import attrgetter, lt
from typing import Final

import numpy as np

from core.events import MAX_ID_CHARS, Event, Impression, VideoPublished, Watch

FAR_MS: Final = 4_102_444_800_000  # the year 2100
INT32: Final = 2**31
INT62: Final = 2**62
_Sound = Callable[[Event], bool]


def unsound(event: Event) -> str:
    """One sentence why an event cannot be counted, "" where it can; the same whenever it is asked."""
    ids, numbers, embedded, sound = _fields(type(event))
    if sound(event):
        return ""
    for name in ids:
        if len(getattr(event, name)) > MAX_ID_CHARS:
            return f"{name} has more than {MAX_ID_CHARS} characters."
    if embedded and not np.isfinite(getattr(event, "content_embedding", None) or ()).all():
        return "content_embedding holds a number that is not finite."
    for name, limit, signed in numbers:
        value = getattr(event, name)
        if not 0 <= (abs(value) if signed else value) < limit:
            return f"{name} {value} is outside 0 to {limit - 1}."
    return ""


def all_sound(events: Sequence[Event]) -> bool:
    """Whether all of them can be counted; a quick look, which may doubt what is sound."""
    kinds: dict[type[Event], list[Event]] = {}
    for event in events:
        kinds.setdefault(type(event), []).append(event)
    return all(_sound_kind(kind, alike) for kind, alike in kinds.items())


def _sound_kind(kind: type[Event], events: list[Event]) -> bool:
    """The same for events of one kind, field by field."""
    ids, numbers, embedded, _ = _fields(kind)
    if embedded or any(max(map(len, map(attrgetter(name), events))) > MAX_ID_CHARS for name in ids):
        return False
    for name, limit, _ in numbers:
        values = list(map(attrgetter(name), events))
        if min(values) < 0 or max(values) >= limit:
            return False
    return True


@cache
def _fields(kind: type[Event]) -> tuple[tuple[str, ...], tuple[tuple[str, int, bool], ...], bool, _Sound]:
    """What to look at in events of a kind: ids; numbers with their limits and whether they may be below 0; embeddings;
    and a quick look at all of it, which may doubt what is sound.

    Once for each kind: every event of the stream passes here.
    """
    present = set(kind.__struct_fields__)
    ids = tuple(name for name in ("event_id", "viewer_id", "video_id", "author_id") if name in present)
    numbers = [("time_ms", FAR_MS, False), ("ingested_ms", FAR_MS, False), ("catalogue_offset", INT62, False)]
    if issubclass(kind, Watch):
        numbers += [("play_ms", INT62, False), ("length_ms", INT32, False)]
    elif issubclass(kind, Impression):
        numbers.append(("position", INT32, True))
    elif issubclass(kind, VideoPublished):
        numbers += [("length_ms", INT32, False), ("upload_ms", FAR_MS, True)]
    embedded = "content_embedding" in present
    return ids, tuple(numbers), embedded, _doubtful if embedded else _quick(ids, tuple(numbers))


def _quick(ids: tuple[str, ...], numbers: tuple[tuple[str, int, bool], ...]) -> _Sound:
    """Whether all ids are short and all numbers from 0 to below their limits."""
    read_ids, read_numbers = attrgetter(*ids), attrgetter(*(name for name, _, _ in numbers))
    limits = tuple(limit for _, limit, _ in numbers)

    def sound(event: Event) -> bool:
        values = read_numbers(event)
        return max(map(len, read_ids(event))) <= MAX_ID_CHARS and min(values) >= 0 and all(map(lt, values, limits))

    return sound


def _doubtful(event: Event) -> bool:
    return False
