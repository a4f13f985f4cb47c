"""Three Kafka brokers on loopback, each record on all of them, for tests of what a lost broker costs."""

import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from deploy.files import locked
from deploy.kafka_server import KafkaServer
from deploy.libraries import default_cache
from deploy.node import Node
from deploy.ports import LOOPBACK

_BROKERS = 3
_HEAP_MIB = 256


class KafkaCluster:
    """Brokers 0, 1 and 2; an acknowledged record (acks=all) is on at least two."""

    def __init__(self, folder: Path, *, cache: Path | None = None, tell: Callable[[str], None] = print) -> None:
        self.folder = folder.absolute()
        self._cache = cache or default_cache()
        self._tell = tell
        self.nodes = [self._node(number, "") for number in range(_BROKERS)]

    def up(self) -> str:
        """Start those that do not run and wait until each answers; the bootstrap servers.

        Raises ConfigError without Java or Maven and Unavailable when a broker ends or stays silent.
        """
        with locked(self.folder / "lock"):
            taken: set[int] = set()
            for node in self.nodes:
                node.claim(0, taken)
            ports = [node.place().inner_port for node in self.nodes]
            voters = ",".join(f"{number + 1}@{LOOPBACK}:{port}" for number, port in enumerate(ports))
            self.nodes = [self._node(number, voters) for number in range(_BROKERS)]
            with ThreadPoolExecutor(_BROKERS) as pool:
                list(pool.map(Node.start, self.nodes))
            return ",".join(node.address() for node in self.nodes)

    def down(self) -> None:
        """Stop them, together, for the last of two would wait for the others; their data stay."""
        if self.folder.is_dir():
            with locked(self.folder / "lock"), ThreadPoolExecutor(_BROKERS) as pool:
                list(pool.map(Node.stop, self.nodes))

    def remove(self) -> None:
        """Stop them and delete what they kept."""
        for node in self.nodes:
            node.remove()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _node(self, number: int, voters: str) -> Node:
        server = KafkaServer(
            name=f"kafka-{number + 1}", cache=self._cache, tell=self._tell, heap_mib=_HEAP_MIB,
            node=number + 1, voters=voters,
        )  # fmt: skip
        return Node(server, self.folder / server.name)
