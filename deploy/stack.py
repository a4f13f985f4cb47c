"""The stack: Kafka, Cassandra, Redis and PostgreSQL in one folder, on loopback."""

import shutil
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path

from core.errors import ConfigError, ForyouError, NotFound
from deploy import processes
from deploy.cassandra_server import CassandraServer
from deploy.files import locked, write_whole
from deploy.kafka_server import KafkaServer
from deploy.libraries import default_cache
from deploy.node import Node, Status
from deploy.postgres_server import PostgresServer
from deploy.redis_server import RedisServer

NAMES = ("kafka", "cassandra", "redis", "postgres")
SETTINGS_FILE = "settings.env"


@dataclass(frozen=True)
class Addresses:
    """Where the servers answer; "" for one that does not run."""

    kafka: str = ""
    cassandra: str = ""
    redis: str = ""
    postgres: str = ""

    def variables(self) -> dict[str, str]:
        """The settings that make the product use them."""
        values = {f"FORYOU_{field.name.upper()}": getattr(self, field.name) for field in fields(self)}
        whole = {"FORYOU_BACKENDS": "cluster"} if all(values.values()) else {}
        return {name: value for name, value in values.items() if value} | whole

    def exports(self) -> str:
        """The same as lines for a shell."""
        return "".join(f"export {name}={value}\n" for name, value in self.variables().items())


class Stack:
    """The servers of a folder; what they keep is below it."""

    def __init__(self, folder: Path, *, cache: Path | None = None, tell: Callable[[str], None] | None = None) -> None:
        self.folder = folder.absolute()
        self._tell = tell or _say_nothing
        libraries = cache or default_cache()
        servers = (
            KafkaServer(cache=libraries, tell=self._tell),
            CassandraServer(cache=libraries, tell=self._tell),
            RedisServer(),
            PostgresServer(tell=self._tell),
        )
        self._nodes = {server.name: Node(server, self.folder / server.name) for server in servers}

    def up(self, names: Iterable[str] = NAMES, ports: Mapping[str, int] | None = None) -> Addresses:
        """Start those that do not run, all at once, and wait until each answers; where they answer.

        Raises NotFound for an unknown name, ConfigError for a missing program or a taken port, Unavailable for a
        server that ends or stays silent; what did start goes on.
        """
        if not processes.supported():
            raise ConfigError("The local stack needs Linux; elsewhere use deploy/compose.yaml.")
        wanted = dict(ports or {})
        nodes = [self.node(name) for name in dict.fromkeys(names)]
        unused = sorted(wanted.keys() - {node.server.name for node in nodes})
        if unused:
            raise ConfigError(f"There is a port for {unused[0]}, which is not among the servers to start.")
        with self._locked():
            taken = set(wanted.values())
            for node in nodes:
                node.claim(wanted.get(node.server.name, 0), taken)
            self._start(nodes)
            return self._remember()

    def start(self, name: str) -> Addresses:
        """Start one again, on its port and data; ConfigError where the port is taken by now."""
        node = self.node(name)
        with self._locked():
            node.place()
            node.start()
            return self._remember()

    def down(self, names: Iterable[str] = NAMES) -> list[str]:
        """Stop them in order; the names of those that ran. Their data stay."""
        nodes = [self.node(name) for name in dict.fromkeys(names)]
        if not self.folder.is_dir():
            return []
        with self._locked(), ThreadPoolExecutor(len(nodes) or 1) as pool:
            ran = list(pool.map(Node.stop, nodes))
            self._remember()
        return [node.server.name for node, did in zip(nodes, ran, strict=True) if did]

    def remove(self) -> None:
        """Stop all of them and delete what they kept."""
        if self.folder.is_dir():
            with self._locked():
                for node in self._nodes.values():
                    node.remove()
            shutil.rmtree(self.folder, ignore_errors=True)

    def kill(self, name: str) -> None:
        """SIGKILL for one server and its children."""
        with self._locked():
            self.node(name).kill()
            self._remember()

    def suspend(self, name: str) -> None:
        """SIGSTOP: it keeps its connections and answers nothing."""
        self.node(name).suspend()

    def resume(self, name: str) -> None:
        """SIGCONT."""
        self.node(name).resume()

    def status(self) -> list[Status]:
        """How each of them is."""
        with ThreadPoolExecutor(len(NAMES)) as pool:
            return list(pool.map(Node.status, self._nodes.values()))

    def addresses(self) -> Addresses:
        """Where those answer that run."""
        return Addresses(**{name: node.address() for name, node in self._nodes.items() if node.pid()})

    def log(self, name: str) -> Path:
        """The log of one server."""
        return self.node(name).log

    def node(self, name: str) -> Node:
        """One server by its name; NotFound for another."""
        if name not in self._nodes:
            raise NotFound(f"There is no server {name!r}; choose from {', '.join(NAMES)}.")
        return self._nodes[name]

    def _start(self, nodes: list[Node]) -> None:
        """All at once; the first error is raised when all have settled, the others are told."""
        stopped, errors = threading.Event(), []
        with ThreadPoolExecutor(len(nodes) or 1) as pool:
            try:
                started = {node: pool.submit(node.start, stopped) for node in nodes}
                for node, future in started.items():
                    error = future.exception()
                    if isinstance(error, ForyouError):
                        errors.append(error)
                    elif error is not None:
                        raise error
                    else:
                        self._tell(_ready(node, future.result()))
            finally:
                stopped.set()
        if errors:
            self._remember()
            for other in errors[1:]:
                self._tell(other.sentence)
            raise errors[0]

    @contextmanager
    def _locked(self) -> Iterator[None]:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            lock = locked(self.folder / "lock")
        except OSError as error:
            raise ConfigError(f"The folder {self.folder} cannot be used ({error.strerror}); give another.") from error
        with lock:
            yield

    def _remember(self) -> Addresses:
        """Write the settings file for those that run."""
        addresses = self.addresses()
        write_whole(self.folder / SETTINGS_FILE, addresses.exports())
        return addresses


def _ready(node: Node, started: bool) -> str:
    record = node.record()
    after = f" after {record.ready_s:.1f} s" if started and record else ", as before"
    return f"{node.server.name} answers on {node.address()}{after}."


def _say_nothing(text: str) -> None:
    """Nobody listens."""
