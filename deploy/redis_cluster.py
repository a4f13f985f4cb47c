"""A Redis Cluster of three masters on loopback, for tests of what differs from one Redis."""

import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from core.errors import Unavailable
from deploy.files import locked
from deploy.node import Node
from deploy.ports import LOOPBACK
from deploy.probes import redis_command
from deploy.redis_server import RedisServer

_MASTERS, _SLOTS = 3, 16_384
_AGREED_WITHIN_S = 30.0


class RedisCluster:
    """Three masters without replicas; each has a third of the slots."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.absolute()
        servers = [RedisServer(name=f"redis-{number + 1}", cluster=True) for number in range(_MASTERS)]
        self.nodes = [Node(server, self.folder / server.name) for server in servers]

    def up(self) -> list[int]:
        """Start those that do not run and wait until the cluster serves every slot; their ports.

        Raises ConfigError without redis-server and Unavailable when they do not agree in time.
        """
        with locked(self.folder / "lock"):
            taken: set[int] = set()
            for node in self.nodes:
                node.claim(0, taken)
            with ThreadPoolExecutor(_MASTERS) as pool:
                list(pool.map(Node.start, self.nodes))
            places = [node.place() for node in self.nodes]
            for number, place in enumerate(places):
                if _info(place.port, "cluster_slots_assigned") == "0":
                    first, end = (_SLOTS * part // _MASTERS for part in (number, number + 1))
                    redis_command(place.port, "CLUSTER", "ADDSLOTSRANGE", str(first), str(end - 1))
                    redis_command(place.port, "CLUSTER", "SET-CONFIG-EPOCH", str(number + 1))
            for place in places[1:]:
                inner = str(place.inner_port)
                redis_command(places[0].port, "CLUSTER", "MEET", LOOPBACK, str(place.port), inner)
            ports = [place.port for place in places]
            self._agree(ports)
            return ports

    def down(self) -> None:
        """Stop them; their data stay."""
        if self.folder.is_dir():
            with locked(self.folder / "lock"), ThreadPoolExecutor(_MASTERS) as pool:
                list(pool.map(Node.stop, self.nodes))

    def remove(self) -> None:
        """Stop them and delete what they kept."""
        for node in self.nodes:
            node.remove()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _agree(self, ports: list[int]) -> None:
        deadline = time.monotonic() + _AGREED_WITHIN_S
        while not all(
            _info(port, "cluster_state") == "ok" and _info(port, "cluster_known_nodes") == str(_MASTERS)
            for port in ports
        ):
            if time.monotonic() > deadline:
                raise Unavailable(f"The Redis Cluster in {self.folder} did not agree in {_AGREED_WITHIN_S:.0f} s.")
            time.sleep(0.1)


def _info(port: int, name: str) -> str:
    """One value of what a node says of the cluster."""
    lines = redis_command(port, "CLUSTER", "INFO").splitlines()
    return next((line.partition(":")[2] for line in lines if line.startswith(f"{name}:")), "")
