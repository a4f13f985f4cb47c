"""Inboxes of the Following feed, and what their writers and readers tell each other: records and ports."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

PUSH, ACTIVE, PULL = 0, 1, 2
"""To whom an author's videos are pushed: all followers, active ones, nobody."""


@dataclass(frozen=True, slots=True)
class Inbox:
    """A viewer's inbox: what its builder noted, and videos with their upload time (Unix ms), newest first."""

    note: bytes
    videos: list[tuple[str, int]]


class Inboxes(Protocol):
    """The newest videos for each viewer who has an inbox; each keeps the `most` newest, and may keep some more."""

    async def push(self, viewers: Sequence[str], videos: Mapping[str, int], most: int) -> list[str]:
        """Put videos (upload time by id) into the inboxes that exist, and only there; the viewers who have one."""
        ...

    async def begin(self, viewer_id: str, token: str, ttl_ms: int) -> None:
        """An inbox that is being built, in place of any: pushes reach it, and nobody can read it yet."""
        ...

    async def fill(
        self, viewer_id: str, token: str, note: bytes, videos: Mapping[str, int], most: int, ttl_ms: int
    ) -> None:
        """Add videos and let it be read, unless another began in its place."""
        ...

    async def read(self, viewer_id: str, most: int, ttl_ms: int) -> Inbox | None:
        """The `most` newest of the inbox, which lives `ttl_ms` milliseconds more; None where none was filled."""
        ...

    async def delete(self, viewers: Sequence[str]) -> None:
        """Forget the inboxes."""
        ...


@dataclass(frozen=True, slots=True)
class Tier:
    """To whom an author's videos are pushed, and the word of the ledger that says so ("" for PUSH)."""

    tier: int
    word: str = ""


@dataclass(frozen=True, slots=True)
class Rules:
    """What holds now: the `epoch` in which inboxes may be trusted ("" for none), the map of active users ("" for none),
    and the tiers of the authors asked for."""

    epoch: str
    active: str
    tiers: list[Tier]


class FanoutLedger(Protocol):
    """How far each partition of video.processed has been begun, and which authors are not pushed to everyone.

    All of it is kept, and lost, together. A part that was lost or went back begins a new epoch.
    """

    async def begin(self, partition: int, first: int, last: int, needed: int) -> str:
        """Before anything of the messages first..last is read or pushed; `needed` is the last one that counts.

        The epoch: a new one where what was begun before these is not known here any more.
        """
        ...

    async def begun(self) -> dict[int, int]:
        """The last message that counts of each partition, of those begun."""
        ...

    async def rules(self, authors: Sequence[str]) -> Rules:
        """What holds now."""
        ...

    async def unpushed(self, author_id: str, tier: int) -> int:
        """Before a video of this author is not pushed to everyone: the tier that holds, never below the one before."""
        ...

    async def lower(self, author_id: str, seen: str, tier: int) -> bool:
        """Give the author a lower tier, unless something was not pushed since the word `seen`."""
        ...


class ActiveLedger(Protocol):
    """The numbers of users, and which map of active users holds; kept with the FanoutLedger."""

    async def numbers(self, users: Sequence[str], make: bool) -> list[int]:
        """Each user's number, 1 and up; one without gets the next where it is to `make` one, else 0."""
        ...

    async def point(self, seen: str, name: str) -> bool:
        """Let the map `name` hold in place of `seen`, unless another holds by now."""
        ...

    async def turn(self, ttl_ms: int) -> bool:
        """Whether the map is ours to refresh: once in `ttl_ms` milliseconds for one of all who ask."""
        ...
