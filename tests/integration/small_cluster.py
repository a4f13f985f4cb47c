"""A small trained cluster: a worker and a replica on shared servers, and a Redis of its own that tests may break."""

import shutil
import time
from contextlib import contextmanager
from dataclasses import replace
from itertools import count

import httpx
import redis

from backends.redis.keys import row_keys
from core.errors import ForyouError
from core.sparse import whole
from features.layout import VIEWER_DTYPE
from features.packed import record_of
from tests.integration import servers
from tests.integration.trained_cluster import TrainedCluster, databases_of
from tests.trained_home import WORLD

EVENTS, FEED = "/api/v1/events", "/api/v1/feed/for-you"
PATIENCE_S = 60


class SmallCluster(TrainedCluster):
    """What tests ask of it and tell it."""

    def __init__(self, home, addresses):
        super().__init__(home, addresses)
        self.redis = redis.Redis.from_url(addresses.redis)
        self._numbers = count()

    def configured(self, **fields):
        """Settings under which no busy machine misses a deadline."""
        return super().configured(**{"request_deadline_ms": 20_000} | fields)

    def environment(self, replica):
        return super().environment(replica) | {"FORYOU_REQUEST_DEADLINE_MS": "20000"}

    def headers(self, viewer):
        return {"Authorization": f"Bearer {self.bearer(viewer)}"}

    def event(self, kind="watch", **fields):
        """An event of now; a watch of another video each time."""
        number = next(self._numbers)
        video = fields.pop("video_id", f"v{number % 200}")
        watched = {"play_ms": 5_000, "length_ms": 9_000} if kind == "watch" else {}
        now_ms = int(time.time() * 1000)
        return (
            {"kind": kind, "event_id": f"{self.prefix}-{number}", "time_ms": now_ms, "video_id": video}
            | watched
            | fields
        )

    def post(self, viewer, events):
        """Reported, and all accepted."""
        url = self.programs["replica"].url + EVENTS
        answer = httpx.post(url, json={"events": events}, headers=self.headers(viewer), timeout=30)
        assert answer.status_code == 200 and answer.json()["accepted"] == len(events), answer.text
        return answer.json()

    def feed(self, viewer, **query):
        """A page."""
        url = self.programs["replica"].url + FEED
        answer = httpx.get(url, params=query, headers=self.headers(viewer), timeout=30)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def metric(self, name):
        """The value of one metric of the replica, 0 where it has none."""
        text = httpx.get(self.programs["replica"].url + "/metrics", timeout=30).text
        return next((float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if line.startswith(name)), 0.0)

    def row_key(self, viewer):
        return f"{self.prefix}:{row_keys('viewer', [viewer])[0]}"

    def row(self, viewer):
        """The viewer's row in Redis, None where there is none."""
        [raw] = whole([self.redis.get(self.row_key(viewer))])
        return None if raw is None else record_of(raw, VIEWER_DTYPE)

    def watched(self, viewer):
        """How many watches the viewer's row has."""
        row = self.row(viewer)
        return 0 if row is None else int(row["history_len"][0])

    def sound(self):
        """Every program runs, and none has said anything of a bug."""
        for program in self.programs.values():
            assert program.running(), program.tail()
            assert "Traceback" not in program.tail(), program.tail()


def until(true, what):
    """Wait until it holds."""
    end = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < end, what
        time.sleep(0.1)


@contextmanager
def small_cluster(folder, bundles):
    """Running until the block ends, with what was trained on such a world."""
    shared = servers.require("kafka", "cassandra", "postgres")
    stack = servers.stack_of_its_own(servers.unique("small_cluster"))
    try:
        stack.up(["redis"])
    except ForyouError as error:
        servers.give_up(error.sentence)
    with databases_of(replace(shared, redis=stack.addresses().redis)) as addresses:
        cluster = SmallCluster(folder / "home", addresses)
        try:
            cluster.run("stack", "init")
            worker = cluster.worker(wait=False)
            cluster.run("world", *WORLD)
            shutil.copytree(bundles, cluster.home / "bundles")
            cluster.replica("replica")
            worker.wait()
            yield cluster
        finally:
            cluster.stop()
            stack.remove()
