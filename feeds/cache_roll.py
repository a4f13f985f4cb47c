"""Notices that the cache lost what it held: every replica keeps its name on a roll there, which goes with the rest."""

from dataclasses import dataclass, field
from typing import Final

from core.cache_keys import cache_key
from core.clock import Clock
from core.ports import Bytes, Ranked

_KEY: Final = cache_key("slates", "replicas")
_MOST: Final = 256
_TTL_MS: Final = 86_400_000
_ALIVE_MS: Final = 5_000


@dataclass(slots=True)
class CacheRoll:
    """The roll as one replica reads it; all raise Unavailable when the cache does not answer."""

    cache: Bytes
    ranked: Ranked
    name: str
    clock: Clock
    _others: dict[str, int] = field(default_factory=dict)

    async def sign(self) -> None:
        """Put the name on the roll, as of now."""
        await self.ranked.add({_KEY: {self.name: float(self.clock())}}, _MOST, _TTL_MS)
        await self.cache.set({self._mark: b""}, _TTL_MS)

    async def signed(self) -> bool:
        """Whether the name is there: a quick look."""
        return (await self.cache.get([self._mark]))[0] is not None

    @property
    def _mark(self) -> str:
        return cache_key(f"replica:{self.name}", "mark")

    async def missing(self) -> set[str]:
        """The names that are not on it: ours, and those of the others that signed a moment ago."""
        now_ms, signed = self.clock(), dict((await self.ranked.top([_KEY], _MOST))[0])
        self._others |= {name: int(at) for name, at in signed.items() if name != self.name}
        self._others = {name: at for name, at in self._others.items() if now_ms - at <= _ALIVE_MS}
        return {self.name, *self._others} - signed.keys()
