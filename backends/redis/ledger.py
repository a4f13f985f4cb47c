"""The ledger of fan-out on Redis: a few keys in one slot, which are kept and lost together."""

from collections.abc import Callable, Sequence
from typing import Any, Final

from backends.redis.nodes import Nodes
from core.fanout import PUSH, Rules, Tier

# A partition's value is "last read:last that counts"; an author's "tier:number of its last change".
_BEGIN: Final = """
local was = redis.call('HGET', KEYS[2], ARGV[1])
local read, counted = 0, 0
if was then
  local first, second = string.match(was, '(%d+):(%d+)')
  read, counted = tonumber(first), tonumber(second)
end
if read < ARGV[2] - 1 or redis.call('EXISTS', KEYS[1]) == 0 then redis.call('SET', KEYS[1], ARGV[5]) end
read, counted = math.max(read, tonumber(ARGV[3])), math.max(counted, tonumber(ARGV[4]))
redis.call('HSET', KEYS[2], ARGV[1], string.format('%.0f:%.0f', read, counted))
return redis.call('GET', KEYS[1])
"""
_BEGUN: Final = "return redis.call('HGETALL', KEYS[1])"
_UNPUSHED: Final = """
local was = redis.call('HGET', KEYS[1], ARGV[1])
local tier = math.max(tonumber(ARGV[2]), was and tonumber(string.match(was, '^%d+')) or 0)
redis.call('HSET', KEYS[1], ARGV[1], tier .. ':' .. redis.call('INCR', KEYS[2]))
return tier
"""
_LOWER: Final = """
if (redis.call('HGET', KEYS[1], ARGV[1]) or '') ~= ARGV[2] then return 0 end
if ARGV[3] == '0' then
  redis.call('HDEL', KEYS[1], ARGV[1])
else
  redis.call('HSET', KEYS[1], ARGV[1], ARGV[3] .. ':' .. redis.call('INCR', KEYS[2]))
end
return 1
"""
_NUMBERS: Final = """
local found = {}
for at = 1, #ARGV do
  local number = redis.call('HGET', KEYS[1], ARGV[at])
  if not number then
    number = redis.call('HLEN', KEYS[1]) + 1
    redis.call('HSET', KEYS[1], ARGV[at], number)
  end
  found[at] = tonumber(number)
end
return found
"""
_POINT: Final = """
if (redis.call('GET', KEYS[1]) or '') ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2])
return 1
"""
_AT_ONCE: Final = 1_000


class RedisLedger:
    """FanoutLedger and ActiveLedger; `new_epoch` gives a name that was never used."""

    def __init__(self, nodes: Nodes, new_epoch: Callable[[], str]) -> None:
        self._nodes, self._new_epoch = nodes, new_epoch

    async def begin(self, partition: int, first: int, last: int, needed: int) -> str:
        """The epoch in which these messages are pushed."""
        arguments = (partition, first, last, needed, self._new_epoch())
        return _text(await self._call(_BEGIN, ("epoch", "begun"), arguments))

    async def begun(self) -> dict[int, int]:
        """The last message that counts of each partition, of those begun."""
        flat = await self._call(_BEGUN, ("begun",), ())
        pairs = zip(flat[::2], flat[1::2], strict=True)
        return {int(partition): int(places.partition(b":")[2]) for partition, places in pairs}

    async def rules(self, authors: Sequence[str]) -> Rules:
        """What holds now."""
        commands: list[tuple[Any, ...]] = [("GET", self._key("epoch")), ("GET", self._key("active"))]
        if authors:
            commands.append(("HMGET", self._key("tiers"), *authors))
        epoch, active, *words = await self._nodes.run(commands)
        return Rules(_text(epoch), _text(active), [_tier(word) for word in (words[0] if words else ())])

    async def unpushed(self, author_id: str, tier: int) -> int:
        """The tier that holds, never below the one before."""
        return int(await self._call(_UNPUSHED, ("tiers", "serial"), (author_id, tier)))

    async def lower(self, author_id: str, seen: str, tier: int) -> bool:
        """Give the author a lower tier, unless something was not pushed since the word `seen`."""
        return bool(await self._call(_LOWER, ("tiers", "serial"), (author_id, seen, tier)))

    async def numbers(self, users: Sequence[str], make: bool) -> list[int]:
        """Each user's number, 1 and up."""
        found: list[int] = []
        for start in range(0, len(users), _AT_ONCE):
            some = users[start : start + _AT_ONCE]
            if make:
                found += await self._call(_NUMBERS, ("numbers",), some)
            else:
                [answers] = await self._nodes.run([("HMGET", self._key("numbers"), *some)])
                found += [int(answer or 0) for answer in answers]
        return found

    async def point(self, seen: str, name: str) -> bool:
        """Let the map `name` hold in place of `seen`."""
        return bool(await self._call(_POINT, ("active",), (seen, name)))

    async def turn(self, ttl_ms: int) -> bool:
        """Whether the map is ours to refresh."""
        [answer] = await self._nodes.run([("SET", self._key("turn"), 1, "NX", "PX", ttl_ms)])
        return answer is not None

    async def _call(self, script: str, keys: Sequence[str], arguments: Sequence[Any]) -> Any:
        [answer] = await self._nodes.run([("EVAL", script, len(keys), *map(self._key, keys), *arguments)])
        return answer

    def _key(self, name: str) -> str:
        return f"{self._nodes.prefix}fanout:{{fanout}}:{name}"


def _text(raw: bytes | None) -> str:
    return raw.decode() if raw is not None else ""


def _tier(word: bytes | None) -> Tier:
    return Tier(int(word.partition(b":")[0]), word.decode()) if word is not None else Tier(PUSH)
