"""The same app as a Ray Serve deployment: the whole pipeline in each replica, so no hop inside a request."""

import json
import logging
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import ray
from fastapi import FastAPI
from ray import serve
from ray.serve.config import HTTPOptions, ProxyLocation

from core.settings import Settings
from serving.server import bind

APPLICATION: Final = "foryou"
# Ray counts CPUs to place actors and does not enforce them: the proxy and the controller ask for none.
CLUSTER_CPUS: Final = 2
REPLICA_CPUS: Final = 1
OBJECT_STORE_BYTES: Final = 100_000_000
THREAD_VARIABLES: Final = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def worker_environment(settings: Settings) -> dict[str, str]:
    """Every setting as its FORYOU_ variable, and one thread for each numerical library.

    A Ray worker does not inherit the driver's shell, so `Settings()` in a replica would read defaults.
    """
    values = settings.model_dump(mode="json") | {"home": str(settings.home.absolute())}
    variables = {
        f"FORYOU_{name.upper()}": value if isinstance(value, str) else json.dumps(value)
        for name, value in values.items()
    }
    return variables | dict.fromkeys(THREAD_VARIABLES, "1")


def application(builder: Callable[[], FastAPI], settings: Settings) -> serve.Application:
    """The app that `builder` makes inside the replica, as a Ray Serve application for any cluster."""

    def build() -> FastAPI:
        return builder()

    options = {
        "num_cpus": REPLICA_CPUS,
        "runtime_env": {"env_vars": worker_environment(settings)},
    }
    deployment = serve.deployment(name=APPLICATION, num_replicas=1, max_ongoing_requests=100, ray_actor_options=options)
    return deployment(serve.ingress(build)()).bind()


@contextmanager
def ray_running(builder: Callable[[], FastAPI], settings: Settings) -> Iterator[None]:
    """A local Ray with the application on the settings' host and port, stopped at the end.

    Raises ConfigError when the port is in use.
    """
    bind(settings).close()
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    ray.init(
        address="local",
        num_cpus=CLUSTER_CPUS,
        object_store_memory=OBJECT_STORE_BYTES,
        include_dashboard=False,
        log_to_driver=False,
        logging_level=logging.WARNING,
    )
    try:
        serve.start(
            proxy_location=ProxyLocation.HeadOnly,
            http_options=HTTPOptions(host=settings.host, port=settings.port),
        )
        serve.run(application(builder, settings), name=APPLICATION, route_prefix="/")
        yield
        serve.shutdown()  # type: ignore[no-untyped-call]
    finally:
        ray.shutdown()


def serve_ray(builder: Callable[[], FastAPI], settings: Settings) -> None:
    """Answer requests through Ray Serve until SIGINT or SIGTERM."""
    stopped = threading.Event()
    with ray_running(builder, settings):
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda received, frame: stopped.set())
        stopped.wait()
