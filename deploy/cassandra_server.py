"""Cassandra: one node."""

import signal
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from deploy import programs
from deploy.files import TEMPLATES, filled, write_whole
from deploy.libraries import default_cache, libraries
from deploy.ports import LOOPBACK
from deploy.probes import ask_cassandra
from deploy.server import Command, Place


@dataclass(frozen=True)
class CassandraServer:
    """One node that acknowledges a write when its commit log is on the disk."""

    name: str = "cassandra"
    cache: Path = field(default_factory=default_cache)
    tell: Callable[[str], None] = print
    heap_mib: int = 384
    inner: bool = True
    stops_by: signal.Signals = signal.SIGTERM

    def data_folder(self, folder: Path) -> Path:
        """Below its folder."""
        return folder / "data"

    def command(self, place: Place) -> Command:
        """Write its settings."""
        java, jars = programs.java(), libraries("cassandra", self.cache, self.tell)
        place.data.mkdir(parents=True, exist_ok=True)
        settings = place.folder / "cassandra.yaml"
        names = {"host": LOOPBACK, "port": place.port, "inner_port": place.inner_port, "data": place.data}
        write_whole(settings, filled("cassandra/cassandra.yaml", **names))
        options = [
            f"@{TEMPLATES / 'cassandra' / 'java.options'}",
            f"-Xms{self.heap_mib // 2}m",
            f"-Xmx{self.heap_mib}m",
            f"-Dcassandra.config={settings.as_uri()}",
            f"-Dcassandra.storagedir={place.data}",
            f"-Dlogback.configurationFile={TEMPLATES / 'cassandra' / 'logback.xml'}",
        ]
        return Command([java, *options, "-cp", f"{jars}/*", "org.apache.cassandra.service.CassandraDaemon"])

    def probe(self, place: Place) -> None:
        """A CQL session."""
        ask_cassandra(place.port)

    def address(self, place: Place) -> str:
        """A contact point."""
        return f"{LOOPBACK}:{place.port}"
