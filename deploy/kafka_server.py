"""Kafka: one broker that is its own controller, or one of several."""

import shutil
import signal
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from core.errors import Unavailable
from deploy import programs
from deploy.files import TEMPLATES, filled, write_whole
from deploy.libraries import default_cache, libraries
from deploy.ports import LOOPBACK
from deploy.probes import ask_kafka
from deploy.server import Command, Place

_CLUSTER_ID = "Zm9yeW91LXN0YWNrLW9uZQ"
_JAVA_OPTIONS = ("-Xms64m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData")


@dataclass(frozen=True)
class KafkaServer:
    """One broker; `voters` ("1@host:port,...") names the controllers where there are several."""

    name: str = "kafka"
    cache: Path = field(default_factory=default_cache)
    tell: Callable[[str], None] = print
    heap_mib: int = 384
    node: int = 1
    voters: str = ""
    inner: bool = True
    stops_by: signal.Signals = signal.SIGTERM

    def data_folder(self, folder: Path) -> Path:
        """Below its folder."""
        return folder / "data"

    def command(self, place: Place) -> Command:
        """Write its settings and format its storage once."""
        java = self._java(programs.java(), libraries("kafka", self.cache, self.tell))
        if not place.data.exists():
            self._format(java, place)
        settings = self._settings(place, place.data)
        return Command([*java, "kafka.Kafka", str(settings)])

    def probe(self, place: Place) -> None:
        """Metadata."""
        ask_kafka(place.port)

    def address(self, place: Place) -> str:
        """A bootstrap server."""
        return f"{LOOPBACK}:{place.port}"

    def _java(self, java: str, jars: Path) -> list[str]:
        logging = f"-Dlog4j2.configurationFile={TEMPLATES / 'kafka' / 'log4j2.properties'}"
        return [java, *_JAVA_OPTIONS, f"-Xmx{self.heap_mib}m", logging, "-cp", f"{jars}/*"]

    def _settings(self, place: Place, data: Path) -> Path:
        nodes = self.voters.count("@") or 1
        text = filled(
            "kafka/server.properties",
            node=self.node, voters=self.voters or f"1@{LOOPBACK}:{place.inner_port}",
            host=LOOPBACK, port=place.port, inner_port=place.inner_port,
            replicas=nodes, in_sync=nodes // 2 + 1, data=data,
        )  # fmt: skip
        write_whole(place.folder / "server.properties", text)
        return place.folder / "server.properties"

    def _format(self, java: list[str], place: Place) -> None:
        part = place.data.with_name(place.data.name + ".part")
        shutil.rmtree(part, ignore_errors=True)
        settings = self._settings(place, part)
        command = [*java, "kafka.tools.StorageTool", "format", "-t", _CLUSTER_ID, "-c", str(settings)]
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        if result.returncode != 0:
            said = (result.stderr or result.stdout).strip().splitlines()
            raise Unavailable(f"Kafka could not format {part}: {said[-1] if said else result.returncode}.")
        part.replace(place.data)
