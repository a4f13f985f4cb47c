"""Keyspaces for tests on the real Cassandra."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from backends.cassandra.history import CassandraHistory, ensure_schema
from backends.cassandra.session import CassandraSession
from core.settings import Settings
from tests.integration import servers


def settings_of(address: str, **others: object) -> Settings:
    """Settings of a keyspace that no other test uses; patient, since a test machine may be busy."""
    chosen = {"cassandra_keyspace": servers.unique("history"), "cassandra_timeout_ms": 20_000, **others}
    return Settings(cassandra=address, **chosen)  # type: ignore[arg-type]


@contextmanager
def made(settings: Settings) -> Iterator[Settings]:
    """The keyspace with its tables, dropped at the end."""
    asyncio.run(ensure_schema(settings))
    try:
        yield settings
    finally:
        session = CassandraSession.connect(settings, with_keyspace=False)
        session.session.execute(f"DROP KEYSPACE {settings.cassandra_keyspace}")
        session.close()


class Opened:
    """The stores that a test opens, closed at its end."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._stores: list[CassandraHistory] = []

    def open(self) -> CassandraHistory:
        """One more store on the keyspace."""
        self._stores.append(asyncio.run(CassandraHistory.open(self.settings)))
        return self._stores[-1]

    def close(self) -> None:
        """Close all of them."""
        for store in self._stores:
            asyncio.run(store.close())
