"""One Redis, or the nodes of a Redis Cluster: commands go out together and cost one round trip a node."""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from functools import partial
from itertools import chain, islice
from typing import Any, Final
from urllib.parse import urlsplit

from redis.asyncio import ConnectionPool, RedisCluster
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.crc import key_slot
from redis.exceptions import ConnectionError, RedisClusterException, TimeoutError

from backends.redis.channel import Channel
from backends.redis.errors import answered_by
from core.errors import ConfigError
from core.settings import Settings

Command = tuple[Any, ...]

_CONNECT_WITHIN_S: Final = 0.5
_ANSWER_WITHIN_S: Final = 2.0
_MOST_CONNECTIONS: Final = 64  # to a node of a cluster
_MOST_TAGS: Final = 1_024
_AT_ONCE: Final = 1_000


def connect(settings: Settings) -> "Nodes":
    """Nothing is sent yet; the first command connects. ConfigError where the URL is not one."""
    if not {"{", "}", "*", "?", "[", "\\"}.isdisjoint(settings.redis_prefix):
        raise ConfigError(f"FORYOU_REDIS_PREFIX {settings.redis_prefix!r} must not have any of {{ }} * ? [ \\ in it.")
    return Nodes(settings.redis, settings.redis_cluster, settings.redis_prefix)


class Nodes:
    """Sends commands to one Redis or to a cluster; Unavailable within seconds where it does not answer.

    Nothing is sent twice: a command that may have been carried out is the caller's to repeat.
    """

    def __init__(self, url: str, cluster: bool = False, prefix: str = "") -> None:
        self.name, self.prefix, self.cluster = _name(url), prefix, cluster
        options: dict[str, Any] = {
            "socket_connect_timeout": _CONNECT_WITHIN_S,
            "socket_timeout": _ANSWER_WITHIN_S,
            "retry": Retry(NoBackoff(), 0),
            "protocol": 2,
        }
        try:
            pool = ConnectionPool.from_url(url, **options)
            made = partial(pool.connection_class, **pool.connection_kwargs)
            made()  # sends nothing; refuses options that there are not
            self._channel = Channel(made, _ANSWER_WITHIN_S)
            if cluster:
                self._client: Any = RedisCluster.from_url(
                    url, max_connections=_MOST_CONNECTIONS, require_full_coverage=False, **options
                )
        except (TypeError, ValueError) as error:
            raise ConfigError(f"FORYOU_REDIS is not the URL of a Redis ({error}).") from error

    async def run(self, commands: Sequence[Command]) -> list[Any]:
        """Their answers in order, in one round trip a node; each command's keys share a slot."""
        if not commands:
            return []
        with answered_by(self.name):
            return await (self._run_on_cluster(commands) if self.cluster else self._channel.run(commands))

    async def at_once(self, commands: Sequence[Command]) -> list[Any]:
        """Their answers, on one Redis with nothing in between: all are carried out or none."""
        *_, answers = await self.run([("MULTI",), *commands, ("EXEC",)])
        with answered_by(self.name):
            for answer in answers:
                if isinstance(answer, Exception):
                    raise answer
        return list(answers)

    async def _run_on_cluster(self, commands: Sequence[Command]) -> list[Any]:
        async with self._client.pipeline(transaction=False) as pipe:
            for command in commands:
                pipe.execute_command(*command)
            try:
                answers: list[Any] = await pipe.execute(raise_on_error=False)
            except (ConnectionError, TimeoutError, RedisClusterException):
                await self._client.aclose()  # the next command asks again who serves which slot
                raise
        for answer in answers:
            if isinstance(answer, Exception):
                if isinstance(answer, ConnectionError | TimeoutError | RedisClusterException):
                    await self._client.aclose()
                raise answer
        return answers

    async def get(self, keys: Sequence[str]) -> list[bytes | None]:
        """Values in the order asked for, None for each that is not there."""
        if not keys:
            return []
        if not self.cluster:
            [values] = await self.run([("MGET", *[self.prefix + key for key in keys])])
            return list[bytes | None](values)
        groups = self._by_slot(keys)
        found: list[bytes | None] = [None] * len(keys)
        answers = await self.run([("MGET", *(self.prefix + keys[at] for at in group)) for group in groups])
        for group, answer in zip(groups, answers, strict=True):
            for at, value in zip(group, answer, strict=True):
                found[at] = value
        return found

    async def delete(self, keys: Sequence[str]) -> None:
        """Forget the keys."""
        await self.run([("UNLINK", *(self.prefix + keys[at] for at in group)) for group in self._by_slot(keys)])

    def puts(self, values: Mapping[str, bytes | int]) -> list[Command]:
        """The commands that set values for good, each of them whole or not at all."""
        if not self.cluster:
            pairs = [(self.prefix + key, value) for key, value in values.items()]
            return [("MSET", *chain.from_iterable(pairs))] if pairs else []
        keys = list(values)
        return [
            ("MSET", *(part for at in group for part in (self.prefix + keys[at], values[keys[at]])))
            for group in self._by_slot(keys)
        ]

    async def keys(self, start: str) -> list[str]:
        """Every key that starts so, in no order; looks at all keys of all nodes, so it is for recovery alone."""
        found: set[bytes] = set()
        pattern = f"{self.prefix}{start}*"
        with answered_by(self.name):
            if self.cluster:
                await self._client.initialize()
                for node in self._client.get_primaries():
                    scan = partial(self._client.scan, match=pattern, count=_AT_ONCE, target_nodes=node)
                    await _all_scanned(scan, found)
            else:
                await _all_scanned(lambda cursor: self._scan(cursor, pattern), found)
        return [key.decode()[len(self.prefix) :] for key in found]

    async def _scan(self, cursor: int, pattern: str) -> Any:
        [answer] = await self._channel.run([("SCAN", cursor, "MATCH", pattern, "COUNT", _AT_ONCE)])
        return answer

    async def tags(self) -> list[str]:
        """For each node that has slots a tag in one of them: the same for all who see the same cluster."""
        if not self.cluster:
            return ["0"]
        with answered_by(self.name):
            await self._client.initialize()
            left, tags = {node.name for node in self._client.get_primaries()}, list[str]()
            for number in range(_MOST_TAGS):
                node = self._client.get_node_from_key(f"{{{number}}}")
                if node is not None and node.name in left:
                    left.remove(node.name)
                    tags.append(str(number))
                if not left:
                    break
        return tags

    async def policy(self) -> str:
        """What a node drops when it is full ("noeviction"), "" where it does not say."""
        with answered_by(self.name):
            if self.cluster:
                told = await self._client.info("memory", target_nodes=RedisCluster.RANDOM)
                return str(told.get("maxmemory_policy", ""))
            [text] = await self._channel.run([("INFO", "memory")])
        lines = (line.partition(":") for line in text.decode().splitlines())
        return next((value for name, _, value in lines if name == "maxmemory_policy"), "")

    async def close(self) -> None:
        """Let go of the connections."""
        await self._channel.close()
        if self.cluster:
            await self._client.aclose()

    def _by_slot(self, keys: Sequence[str]) -> list[list[int]]:
        """Places of the keys that one command may name."""
        if not self.cluster:
            return [list(range(len(keys)))] if keys else []
        groups: dict[int, list[int]] = {}
        for at, key in enumerate(keys):
            groups.setdefault(key_slot((self.prefix + key).encode()), []).append(at)
        return list(groups.values())


def parts(items: Iterable[Any], size: int = _AT_ONCE) -> Iterable[list[Any]]:
    """The items in lists of at most `size`."""
    rest = iter(items)
    while part := list(islice(rest, size)):
        yield part


async def _all_scanned(scan: Callable[[int], Awaitable[Any]], found: set[bytes]) -> None:
    """Follow a scan to its end; a cluster's client names the node that answered beside its cursor."""
    cursor = -1
    while cursor != 0:
        following, listed = await scan(max(cursor, 0))
        cursor = int(next(iter(following.values())) if isinstance(following, dict) else following)
        found.update(listed)


def _name(url: str) -> str:
    """The address without the password."""
    try:
        found = urlsplit(url)
        if found.scheme != "unix" and not (found.path.strip("/") or "0").isdecimal():
            raise ValueError(f"{found.path} is not the number of a database")
        return f"{found.hostname or found.path}:{found.port or 6379}"
    except ValueError as error:
        raise ConfigError(f"FORYOU_REDIS is not the URL of a Redis ({error}).") from error
