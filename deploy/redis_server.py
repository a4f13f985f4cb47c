"""Redis, alone or as a node of a cluster."""

import signal
from dataclasses import dataclass
from pathlib import Path

from deploy import programs
from deploy.files import filled, write_whole
from deploy.ports import LOOPBACK
from deploy.probes import ask_redis
from deploy.server import Command, Place


@dataclass(frozen=True)
class RedisServer:
    """One Redis that writes each change to its append-only file."""

    name: str = "redis"
    cluster: bool = False
    stops_by: signal.Signals = signal.SIGTERM

    @property
    def inner(self) -> bool:
        """A node of a cluster talks to the others on a port of its own."""
        return self.cluster

    def data_folder(self, folder: Path) -> Path:
        """Below its folder."""
        return folder / "data"

    def command(self, place: Place) -> Command:
        """Write its settings."""
        program = programs.redis()
        place.data.mkdir(parents=True, exist_ok=True)
        text = filled("redis/redis.conf", host=LOOPBACK, port=place.port, data=f'"{place.data}"')
        if self.cluster:
            text += f"cluster-enabled yes\ncluster-port {place.inner_port}\ncluster-node-timeout 2000\n"
        settings = place.folder / "redis.conf"
        write_whole(settings, text)
        return Command([program, str(settings)])

    def probe(self, place: Place) -> None:
        """PING."""
        ask_redis(place.port)

    def address(self, place: Place) -> str:
        """A URL of its first database."""
        return f"redis://{LOOPBACK}:{place.port}/0"
