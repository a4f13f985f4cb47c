"""What a stream worker has done, as Prometheus metrics on a port of its own."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Final

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from core.errors import ConfigError
from core.settings import Settings
from features.stream.worker import Worker
from feeds.fanout_work import PushLoop

_MESSAGES: Final = {
    "processed": "Messages that a role has applied.",
    "rejected": "Messages that a role has put aside.",
    "duplicates": "Messages that a role had applied before.",
    "retries": "Times that a role tried a micro-batch again.",
}
_TIERS: Final = {
    "videos": "Videos published by authors of the tier.",
    "followers": "Followers to whom their videos were pushed.",
    "inboxes": "Inboxes that took what was pushed.",
    "raised": "Authors who came into the tier from a lower one.",
    "lowered": "Authors who came into the tier from a higher one.",
}


class WorkerCollector(Collector):
    """Reads the counts of a worker's roles whenever it is asked."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker

    def collect(self) -> Iterable[Metric]:
        """By role and, for fan-out, by tier."""
        yield from self._roles()
        yield from self._tiers()

    def _roles(self) -> Iterator[Metric]:
        stages = self._worker.metrics()
        for field, told in _MESSAGES.items():
            counts = CounterMetricFamily(f"foryou_worker_{field}", told, labels=("role",))
            for role, stage in stages.items():
                counts.add_metric((role,), getattr(stage, field))
            yield counts
        lag = GaugeMetricFamily("foryou_worker_lag", "Messages that wait in a partition.", labels=("role", "partition"))
        for role, stage in stages.items():
            for partition, waiting in list(stage.lag.items()):  # the loop goes on meanwhile
                lag.add_metric((role, str(partition)), waiting)
        yield lag

    def _tiers(self) -> Iterator[Metric]:
        loops = [role for role in self._worker.roles.values() if isinstance(role, PushLoop)]
        for field, told in _TIERS.items() if loops else ():
            counts = CounterMetricFamily(f"foryou_fanout_{field}", told, labels=("tier",))
            for tier, metrics in loops[0].tiers.items():
                counts.add_metric((tier,), getattr(metrics, field))
            yield counts


@contextmanager
def told_on_a_port(worker: Worker, settings: Settings) -> Iterator[None]:
    """GET /metrics on the worker's port as long as the block runs; ConfigError where the port cannot be had."""
    if not settings.metrics_port:
        yield
        return
    registry = CollectorRegistry()
    registry.register(WorkerCollector(worker))
    try:
        server, thread = start_http_server(settings.metrics_port, settings.host, registry)
    except OSError as error:
        raise ConfigError(
            f"Port {settings.metrics_port} on {settings.host} cannot be opened ({error.strerror}); choose another"
            " with FORYOU_METRICS_PORT, or 0 for none."
        ) from error
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
