"""A query: one hydrated feed request. From here on everything is a function of it."""

from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np

from core.arrays import Array, Int32, pack, unpack


def _none() -> Int32:
    return np.zeros(0, np.int32)


@dataclass(frozen=True, slots=True)
class Query:
    """Who asks, when, under which seed, and all that was read about the viewer (row numbers of the VideoTable).

    `viewer_state` is the viewer's packed feature record, shape [1], as features.state defines it (or None). `liked` and
    `disliked` are of this session, and not among the watches of that record.
    """

    viewer_id: str
    surface: str
    session_id: str
    now_ms: int
    page: int
    limit: int
    seed: int
    slate_id: str = ""
    region: str = ""
    language: str = ""
    device: str = ""
    profile: tuple[str, ...] = ()
    viewer_state: Array | None = None
    seen: Int32 = field(default_factory=_none)
    served: Int32 = field(default_factory=_none)
    follows: Int32 = field(default_factory=_none)
    blocked_authors: Int32 = field(default_factory=_none)
    hidden_authors: Int32 = field(default_factory=_none)
    liked: Int32 = field(default_factory=_none)
    disliked: Int32 = field(default_factory=_none)
    own_author: int = 0
    keep_full: bool = False
    degraded: tuple[str, ...] = ()

    def with_parts(self, **parts: Any) -> "Query":
        """A copy with these fields replaced."""
        return replace(self, **parts)

    def to_bytes(self) -> bytes:
        """The whole query, so that a replay starts from the same facts."""
        arrays, document = {}, {}
        for item in fields(self):
            value = getattr(self, item.name)
            if isinstance(value, np.ndarray):
                arrays[item.name] = value
            else:
                document[item.name] = value
        return pack(arrays, document)

    @classmethod
    def from_bytes(cls, raw: bytes) -> "Query":
        """What `to_bytes` wrote."""
        arrays, document = unpack(raw)
        for name in ("profile", "degraded"):
            document[name] = tuple(document[name])
        return cls(**{**document, **arrays})
