"""The only reads of a request: everything about the viewer, at once, under a deadline.

A part that is late degrades to what is empty and is named; blocks are a safety part and never fail open.
"""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, TypeVar

from core.catalogue import Reactions, Relations, ViewerRecord
from core.errors import Unavailable
from core.ports import FeatureStore, HistoryStore, SlateStore, Tables
from core.slate import Slate

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Readers:
    """The stores that a request reads."""

    features: FeatureStore
    history: HistoryStore
    tables: Tables
    slates: SlateStore


@dataclass(frozen=True, slots=True)
class ViewerFacts:
    """What was read; `relations` None means that the viewer's safety is unknown."""

    record: bytes | None
    profile: ViewerRecord | None
    seen: list[str]
    reactions: Reactions
    relations: Relations | None
    slates: list[Slate]
    degraded: tuple[str, ...]


async def read_viewer(readers: Readers, viewer_id: str, slates: int, deadline_ms: int) -> ViewerFacts:
    """All parts concurrently, each given up after `deadline_ms`."""
    late: list[str] = []

    async def part(name: str, read: Coroutine[Any, Any, T], otherwise: Callable[[], T]) -> T:
        try:
            return await asyncio.wait_for(read, deadline_ms / 1000)
        except (TimeoutError, Unavailable):
            late.append(name)
            return otherwise()

    rows, profile, seen, reactions, relations, latest = await asyncio.gather(
        part("features", readers.features.read("viewer", [viewer_id]), lambda: [None]),
        part("profile", readers.tables.users([viewer_id]), lambda: [None]),
        part("seen", readers.history.seen(viewer_id), list),
        part("reactions", readers.history.reactions(viewer_id), Reactions),
        part("relations", _optional(readers.tables.relations(viewer_id)), lambda: None),
        part("session", readers.slates.latest(viewer_id, slates), list),
    )
    return ViewerFacts(rows[0], profile[0], seen, reactions, relations, latest, tuple(late))


async def _optional(read: Coroutine[Any, Any, T]) -> T | None:
    """The same read, for a part that is None when it fails."""
    return await read
