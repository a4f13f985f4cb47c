"""FeatureStore on Redis: one packed row for each id, and marks that say how far into the log the rows go."""

from collections.abc import Mapping, Sequence
from typing import Final

from backends.redis.keys import MARKS, ROWS, SCHEMA, mark_key, row_id, row_keys
from backends.redis.nodes import Nodes, parts
from core.errors import ConfigError, CorruptData, SchemaMismatch
from core.sparse import whole

_ONE_LOG: Final = "log"
_AT_ONCE: Final = 1_000


class RedisFeatureStore:
    """Packed rows written under one feature schema; give it by `open`.

    Up to 1,000 rows are one round trip a node. On one Redis a write of that size is one MSET with its marks, so it is
    there whole or not at all, in a transaction with the reading of what the marks said. On a cluster each node has the
    marks of its own rows, exchanged after them, and a mark is the least that any node says: a node that lost its last
    second takes the mark back with it.

    Rows are taken as they come. That each moves forward is its writer's doing, who learns from the marks of another
    that came late; a script that compares versions first made writes of a thousand rows two to four times as long.
    """

    def __init__(self, nodes: Nodes) -> None:
        self._nodes = nodes

    @classmethod
    async def open(cls, nodes: Nodes, schema: str) -> "RedisFeatureStore":
        """SchemaMismatch where Redis holds another schema's rows, ConfigError where it may drop rows by itself."""
        policy = await nodes.policy()
        if policy.startswith("allkeys"):
            raise ConfigError(
                f"Redis at {nodes.name} drops any key when it is full (maxmemory-policy {policy}), and feature rows"
                " would go missing; set maxmemory-policy noeviction or volatile-ttl."
            )
        stored = await _schema(nodes)
        if stored is None:
            await nodes.run([("SET", nodes.prefix + SCHEMA, schema, "NX")])
            stored = await _schema(nodes)
        if stored != schema:
            raise SchemaMismatch(
                f"The features in Redis at {nodes.name} were written under schema {stored} and this build computes"
                f" {schema}; run `foryou train` to compute them again, or give this build a FORYOU_REDIS_PREFIX."
            )
        return cls(nodes)

    async def read(self, entity: str, ids: Sequence[str]) -> list[bytes | None]:
        """One batched read, in the order asked for."""
        return whole(await self._nodes.get(row_keys(entity, ids)))

    async def write(
        self, rows: Mapping[str, Mapping[str, bytes]], applied: int | Mapping[str, int]
    ) -> Mapping[str, int]:
        """Write rows by entity and id, and how far into the log they go, the latter last; what the marks said."""
        named = {_ONE_LOG: applied} if isinstance(applied, int) else applied
        tags = await self._nodes.tags()
        pairs = [
            pair for entity, by_id in rows.items() for pair in zip(row_keys(entity, by_id), by_id.values(), strict=True)
        ]
        *first, last = [dict(part) for part in parts(pairs, _AT_ONCE)] or [{}]
        for part in first:
            await self._nodes.run(self._nodes.puts(part))
        marks = {mark_key(tag, name): offset for name, offset in named.items() for tag in tags}
        before = await (self._last_on_cluster(last, marks) if self._nodes.cluster else self._last(last, marks))
        offsets = _least([_offset(value) for value in before], len(tags))
        return {} if isinstance(applied, int) else dict(zip(named, offsets, strict=True))

    async def _last(self, rows: Mapping[str, bytes], marks: Mapping[str, int]) -> list[bytes | None]:
        """Write rows and marks in one step on one Redis; the marks' values before."""
        puts = self._nodes.puts({**rows, **marks})
        if not marks:
            await self._nodes.run(puts)
            return []
        asked = ("MGET", *[self._nodes.prefix + key for key in marks])
        return list[bytes | None]((await self._nodes.at_once([asked, *puts]))[0])

    async def _last_on_cluster(self, rows: Mapping[str, bytes], marks: Mapping[str, int]) -> list[bytes | None]:
        """Write rows, then exchange the marks, on each node of a cluster; the marks' values before."""
        puts = self._nodes.puts(rows)
        swaps = [("GETSET", self._nodes.prefix + key, offset) for key, offset in marks.items()]
        return (await self._nodes.run([*puts, *swaps]))[len(puts) :]

    async def scan(self, entity: str) -> list[tuple[str, bytes]]:
        """Every row of an entity, by id."""
        keys = sorted(await self._nodes.keys(f"{ROWS}{entity}:{{"), key=row_id)
        found = list[tuple[str, bytes]]()
        for part in parts(keys, _AT_ONCE):
            values = whole(await self._nodes.get(part))
            found += [(row_id(key), value) for key, value in zip(part, values, strict=True) if value is not None]
        return found

    async def applied_offset(self) -> int:
        """The offset of the one log that the stored rows include, 0 at first."""
        return (await self.marks([_ONE_LOG]))[0]

    async def marks(self, names: Sequence[str]) -> list[int]:
        """The offsets last written under these marks, 0 for each that is not there, or not on every node."""
        tags = await self._nodes.tags()
        stored = await self._nodes.get([mark_key(tag, name) for name in names for tag in tags])
        return _least([_offset(value) for value in stored], len(tags))

    @staticmethod
    async def forget(nodes: Nodes, schema: str) -> None:
        """Delete the rows and marks of any other schema, so that they can be computed again from the log."""
        stored = await _schema(nodes)
        if stored is None or stored == schema:
            return
        for start in (MARKS, ROWS):
            for part in parts(await nodes.keys(start), _AT_ONCE):
                await nodes.delete(part)
        await nodes.delete([SCHEMA])


async def _schema(nodes: Nodes) -> str | None:
    [stored] = await nodes.get([SCHEMA])
    return None if stored is None else stored.decode()


def _least(offsets: list[int], nodes: int) -> list[int]:
    """The least that the nodes say of each mark; those of a mark follow each other."""
    return [min(offsets[at : at + nodes]) for at in range(0, len(offsets), nodes)]


def _offset(value: bytes | None) -> int:
    try:
        return int(value or 0)
    except ValueError as error:
        raise CorruptData(
            "A mark of feature rows in Redis is no number; delete it, and the rows are written again."
        ) from error
