"""An app over in-memory ports, and tokens for its callers."""

from dataclasses import dataclass

import pytest
from fastapi.testclient import TestClient
from prometheus_client import CollectorRegistry

from core.settings import Settings
from feeds.intake import EventIntake, IntakeConfig
from serving.app import create_app
from serving.auth import DevKeys, Verifier
from serving.metrics import Metrics
from serving.ports import ServingParts
from tests.serving.fakes import FakeFeed, FakeFollowing, FakeTrending, HandClock, MemoryLog, MemorySlates, slate


@pytest.fixture(scope="session")
def keys(tmp_path_factory):
    return DevKeys.ensure(tmp_path_factory.mktemp("keys"))


@dataclass
class Edge:
    """The app and everything behind it."""

    client: TestClient
    feed: FakeFeed
    log: MemoryLog
    clock: HandClock
    keys: DevKeys
    reasons: list
    following: FakeFollowing
    trending: FakeTrending

    def token(self, viewer="ann", role="viewer"):
        return self.keys.issue(viewer, ttl_s=900, clock=self.clock, role=role)

    def headers(self, viewer="ann", role="viewer"):
        return {"Authorization": f"Bearer {self.token(viewer, role)}"}

    def get(self, path, viewer="ann", role="viewer"):
        return self.client.get(path, headers=self.headers(viewer, role))

    def post(self, content, viewer="ann", role="viewer"):
        return self.client.post("/api/v1/events", content=content, headers=self.headers(viewer, role))


@pytest.fixture
def edge(keys):
    feed, log, clock, reasons = FakeFeed(), MemoryLog(), HandClock(), [""]
    followed, trending = FakeFollowing(), FakeTrending()

    async def apply(records):
        pass

    parts = ServingParts(
        feed=feed,
        following=followed,
        trending=trending,
        intake=EventIntake(log, MemorySlates(slate()), {"v1": 10_000}.get, apply, clock, IntakeConfig()),
        verifier=Verifier(keys.public_key, clock),
        ready=lambda: reasons[-1],
        settings=Settings(max_body_bytes=2_000, max_batch_events=5),
        clock=clock,
        metrics=Metrics(CollectorRegistry()),
    )
    with TestClient(create_app(parts)) as client:
        yield Edge(client, feed, log, clock, keys, reasons, followed, trending)
