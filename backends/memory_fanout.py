"""Inboxes and the ledger of fan-out inside the process."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from core.clock import Clock
from core.fanout import PUSH, Inbox, Rules, Tier


@dataclass(slots=True)
class _Box:
    token: str
    until_ms: int
    note: bytes | None = None
    videos: dict[str, int] = field(default_factory=dict)

    def add(self, videos: Mapping[str, int], most: int) -> None:
        self.videos.update(videos)
        for video_id, _ in _newest_first(self.videos)[most:]:
            del self.videos[video_id]


class MemoryInboxes:
    """Inboxes as dictionaries."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._boxes: dict[str, _Box] = {}

    async def push(self, viewers: Sequence[str], videos: Mapping[str, int], most: int) -> list[str]:
        """Put videos into the inboxes that exist; the viewers who have one."""
        found = [(viewer, box) for viewer in viewers if (box := self._box(viewer)) is not None]
        for _, box in found:
            box.add(videos, most)
        return [viewer for viewer, _ in found]

    async def begin(self, viewer_id: str, token: str, ttl_ms: int) -> None:
        """An inbox that is being built."""
        self._boxes[viewer_id] = _Box(token, self._clock() + ttl_ms)

    async def fill(
        self, viewer_id: str, token: str, note: bytes, videos: Mapping[str, int], most: int, ttl_ms: int
    ) -> None:
        """Add videos and let it be read, unless another began in its place."""
        box = self._box(viewer_id)
        if box is not None and box.token == token:
            box.add(videos, most)
            box.note, box.until_ms = note, self._clock() + ttl_ms

    async def read(self, viewer_id: str, most: int, ttl_ms: int) -> Inbox | None:
        """The `most` newest of the inbox, which lives `ttl_ms` milliseconds more."""
        box = self._box(viewer_id)
        if box is None or box.note is None:
            return None
        box.until_ms = self._clock() + ttl_ms
        return Inbox(box.note, _newest_first(box.videos)[:most])

    async def delete(self, viewers: Sequence[str]) -> None:
        """Forget the inboxes."""
        for viewer in viewers:
            self._boxes.pop(viewer, None)

    def _box(self, viewer: str) -> _Box | None:
        box = self._boxes.get(viewer)
        if box is not None and box.until_ms <= self._clock():
            del self._boxes[viewer]
            return None
        return box


def _newest_first(videos: Mapping[str, int]) -> list[tuple[str, int]]:
    return sorted(videos.items(), key=lambda entry: (entry[1], entry[0]), reverse=True)


class MemoryLedger:
    """FanoutLedger and ActiveLedger as dictionaries."""

    def __init__(self, clock: Clock, new_epoch: Callable[[], str]) -> None:
        self._clock, self._new_epoch = clock, new_epoch
        self._epoch, self._active = "", ""
        self._begun: dict[int, tuple[int, int]] = {}
        self._tiers: dict[str, Tier] = {}
        self._numbers: dict[str, int] = {}
        self._serial, self._turn_ms = 0, 0

    async def begin(self, partition: int, first: int, last: int, needed: int) -> str:
        """The epoch in which these messages are pushed."""
        read, counted = self._begun.get(partition, (0, 0))
        if not self._epoch or read < first - 1:
            self._epoch = self._new_epoch()
        self._begun[partition] = max(read, last), max(counted, needed)
        return self._epoch

    async def begun(self) -> dict[int, int]:
        """The last message that counts of each partition, of those begun."""
        return {partition: needed for partition, (_, needed) in self._begun.items()}

    async def rules(self, authors: Sequence[str]) -> Rules:
        """What holds now."""
        return Rules(self._epoch, self._active, [self._tiers.get(author, Tier(PUSH)) for author in authors])

    async def unpushed(self, author_id: str, tier: int) -> int:
        """The tier that holds, never below the one before."""
        holds = max(tier, self._tiers.get(author_id, Tier(PUSH)).tier)
        self._tiers[author_id] = self._said(holds)
        return holds

    async def lower(self, author_id: str, seen: str, tier: int) -> bool:
        """Give the author a lower tier, unless something was not pushed since the word `seen`."""
        if self._tiers.get(author_id, Tier(PUSH)).word != seen:
            return False
        self._tiers.pop(author_id, None)
        if tier != PUSH:
            self._tiers[author_id] = self._said(tier)
        return True

    async def numbers(self, users: Sequence[str], make: bool) -> list[int]:
        """Each user's number, 1 and up."""
        if make:
            for user in users:
                self._numbers.setdefault(user, len(self._numbers) + 1)
        return [self._numbers.get(user, 0) for user in users]

    async def point(self, seen: str, name: str) -> bool:
        """Let the map `name` hold in place of `seen`."""
        if self._active != seen:
            return False
        self._active = name
        return True

    async def turn(self, ttl_ms: int) -> bool:
        """Whether the map is ours to refresh."""
        if self._clock() < self._turn_ms:
            return False
        self._turn_ms = self._clock() + ttl_ms
        return True

    def _said(self, tier: int) -> Tier:
        self._serial += 1
        return Tier(tier, f"{tier}:{self._serial}")
