"""Prometheus metrics of one serving process, on a registry that is passed in."""

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
REQUEST_SECONDS: Final = (
    0.001, 0.0025, 0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0, 2.5,
)  # fmt: skip
STAGE_SECONDS: Final = (
    0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1,
)  # fmt: skip


class Metrics:
    """Counters and histograms; `stage` and `outage` are hooks for the engine."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry
        self._requests = Histogram(
            "foryou_request_seconds",
            "Time from the first byte of a request to the end of its answer.",
            ("route", "status"),
            buckets=REQUEST_SECONDS,
            registry=registry,
        )
        self._stages = Histogram(
            "foryou_stage_seconds",
            "Time spent in one stage of a feed request.",
            ("kind", "stage"),
            buckets=STAGE_SECONDS,
            registry=registry,
        )
        self._degraded = Counter(
            "foryou_degraded",
            "Pages that were served without this part.",
            ("part",),
            registry=registry,
        )
        self._outages = Counter(
            "foryou_stage_outages",
            "Times that a stage found its outside system unavailable.",
            ("stage",),
            registry=registry,
        )
        self._looks = Counter(
            "foryou_cache_looks",
            "Looks into a cache, by whether what was wanted was there.",
            ("cache", "found"),
            registry=registry,
        )
        self._events = Counter("foryou_events", "Reported events, by verdict.", ("status",), registry=registry)

        self._following = Counter(
            "foryou_following_pages",
            "Following pages of a cluster, by the way on which they came.",
            ("way",),
            registry=registry,
        )

        self._rungs = Counter(
            "foryou_rung_pages",
            "For-You pages by the rung of the ladder that answered.",
            ("rung",),
            registry=registry,
        )
        self._rungs_failed = Counter(
            "foryou_rung_failures",
            "Times that a rung of the ladder did not answer: late, away, failed or empty.",
            ("rung",),
            registry=registry,
        )

        self._drawn_pages = Counter(
            "foryou_drawn_pages",
            "For-You pages with drawn places, by policy: slots, or plackett_luce, which draws the whole page.",
            ("policy",),
            registry=registry,
        )
        self._drawn_places = Counter(
            "foryou_drawn_places",
            "Places of For-You pages that were drawn, by policy.",
            ("policy",),
            registry=registry,
        )

        self._breakers = Gauge(
            "foryou_breaker_open",
            "1 while a part that was late several times is hardly waited for.",
            ("part",),
            registry=registry,
        )

    def request(self, route: str, status: int, seconds: float) -> None:
        """Count one answered request under its route template."""
        self._requests.labels(route, str(status)).observe(seconds)

    def stage(self, kind: str, name: str, spent_ns: int) -> None:
        """Count one run of a stage."""
        self._stages.labels(kind, name).observe(spent_ns / 1e9)

    def outage(self, stage: str) -> None:
        """Count one outage that a stage met."""
        self._outages.labels(stage).inc()

    def degraded(self, part: str) -> None:
        """Count one page that was served without a part."""
        self._degraded.labels(part).inc()

    def rung(self, name: str) -> None:
        """Count one For-You page by its rung: full, cached, trending or last_page."""
        self._rungs.labels(name).inc()

    def rung_failed(self, name: str) -> None:
        """Count one time that a rung did not answer."""
        self._rungs_failed.labels(name).inc()

    def drawn(self, policy: str, places: int) -> None:
        """Count one For-You page of which so many places were drawn."""
        self._drawn_pages.labels(policy).inc()
        self._drawn_places.labels(policy).inc(places)

    def breaker(self, part: str, opened: bool) -> None:
        """Keep whether the part's circuit breaker is open."""
        self._breakers.labels(part).set(opened)

    def following(self, way: str) -> None:
        """Count one Following page: inbox, mixed, pulled, built (there was none to trust) or away."""
        self._following.labels(way).inc()

    def event(self, status: str) -> None:
        """Count one reported event."""
        self._events.labels(status).inc()

    def looked_up(self, cache: str, found: bool) -> None:
        """Count one look into a cache."""
        self._looks.labels(cache, "yes" if found else "no").inc()

    def exposition(self) -> bytes:
        """Everything in Prometheus's text format."""
        return generate_latest(self._registry)
