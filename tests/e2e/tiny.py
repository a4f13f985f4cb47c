"""A tiny trained home, made as the product makes one, and a running product on a copy of it."""

import asyncio
import shutil
from contextlib import contextmanager
from pathlib import Path

from fastapi.testclient import TestClient

from candidate_gen.tower_config import TowerConfig
from core.settings import Settings
from features.layout import DAY_MS
from foryou.bootstrap import open_product
from foryou.catch_up import catch_up
from foryou.importers.report import ImportStores
from foryou.importers.world import import_world
from foryou.stores import open_stores
from serving.auth import DevKeys
from simulation.law import EPOCH_MS
from simulation.log_files import write_history
from simulation.world import World
from training.config import TrainConfig
from training.log_data import load_log
from training.pipeline import train
from training.publication import Publication

VIEWERS, VIDEOS, IMPRESSIONS, DAYS = 300, 1_500, 15_000, 7
NOW_MS = EPOCH_MS + DAYS * DAY_MS + 3_600_000
FEED, EVENTS, EXPLAIN = "/api/v1/feed/for-you", "/api/v1/events", "/api/v1/feed/explain"
NEEDED = ("log.db", "tables.db", "state.db", "slates.db", "trending.db")


def build(home):
    """World, import, training, feature state: everything that serving needs, and nothing else is kept."""
    world = World.build(0, VIEWERS, VIDEOS, days=DAYS)
    write_history(world, home / "world", IMPRESSIONS)
    config = TrainConfig(
        threads=1, rounds=80, members=1, feature_share=0.5, refit_towers=False, towers=TowerConfig(epochs=1)
    )

    async def made():
        stores = open_stores(home, durable=False)
        try:
            await import_world(home / "world", ImportStores(stores.log, stores.tables, home, lambda: NOW_MS))
            await catch_up(stores)
            data = await load_log(stores.log, stores.videos, stores.tables)
            train(data, config, home, NOW_MS, how=Publication(recorded=False))
            await stores.features.write(data.driver.packed(0), data.applied_offset)
            await stores.trends(lambda: NOW_MS).advance()
        finally:
            stores.close()

    asyncio.run(made())
    for leftover in ("world", "scratch", "mlartifacts"):
        shutil.rmtree(home / leftover, ignore_errors=True)
    DevKeys.ensure(home / "keys")


def copy(home, folder):
    """What serving needs of a home, in another folder."""
    folder.mkdir(parents=True)
    for name in NEEDED:
        if (home / name).exists():
            shutil.copy(home / name, folder / name)
    for name in ("bundles", "keys"):
        shutil.copytree(home / name, folder / name)
    return folder


class HandClock:
    """A clock that moves when it is told to."""

    def __init__(self, now_ms=NOW_MS):
        self.now_ms = now_ms

    def __call__(self):
        return self.now_ms

    def advance(self, seconds):
        self.now_ms += int(seconds * 1000)


def ids(prefix):
    """Ids in order, so that two runs with the same prefix have the same sessions and seeds."""
    numbers = iter(range(1_000_000))
    return lambda: f"{prefix}{next(numbers):06d}"


class Running:
    """A product behind its HTTP app, with a token for whoever asks."""

    def __init__(self, product, client, clock):
        self.product, self.client, self.clock = product, client, clock
        self.keys = DevKeys.ensure(product.settings.keys)
        self._events = 0

    def headers(self, viewer, role="viewer"):
        return {"Authorization": f"Bearer {self.keys.issue(viewer, ttl_s=900, clock=self.clock, role=role)}"}

    def get(self, path, viewer, role="viewer", **query):
        return self.client.get(path, params=query, headers=self.headers(viewer, role))

    def page(self, viewer, **query):
        """A page that must be answered."""
        answer = self.get(FEED, viewer, **query)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def post(self, viewer, events, role="viewer"):
        return self.client.post(EVENTS, json={"events": events}, headers=self.headers(viewer, role))

    def send(self, viewer, *events, role="viewer"):
        """Events that must all be accepted."""
        answer = self.post(viewer, list(events), role)
        assert answer.status_code == 200, answer.text
        assert answer.json()["accepted"] == len(events), answer.text
        return answer.json()

    def event(self, kind, **fields):
        self._events += 1
        return {"kind": kind, "event_id": f"e{id(self)}-{self._events}", "time_ms": self.clock(), **fields}

    def shown(self, page, ratio=0.7):
        """Impression and watch of every video of a page."""
        events = []
        for video in page["videos"]:
            place = {"video_id": video["video_id"], "slate_id": page["slate_id"]}
            length = int(video["duration_sec"] * 1000)
            self.clock.advance(1)
            events.append(self.event("impression", **place))
            events.append(self.event("watch", play_ms=int(ratio * length), length_ms=length, **place))
        return events

    def watched(self, viewer, page, ratio=0.7):
        self.send(viewer, *self.shown(page, ratio))

    def call(self, function, *arguments):
        """Run a coroutine function in the loop that serves."""
        return self.client.portal.call(function, *arguments)

    def restarted(self):
        """The caller closes this one first; the settings and the clock go on."""
        return running(self.product.settings, self.clock)


@contextmanager
def running(settings, clock=None, prefix=None, stores=None, config=None):
    """Open the product of a home and serve it until the block ends."""
    clock = clock or HandClock()
    extra = {} if prefix is None else {"new_id": ids(prefix)}
    product = asyncio.run(open_product(settings, clock, config, stores=stores, **extra))
    try:
        with TestClient(product.app()) as client:
            yield Running(product, client, clock)
            client.portal.call(product.settled)
    finally:
        product.stores.close()


def settings_of(home, **fields):
    """Every slate in full unless the test says otherwise, no deadline that a busy machine would miss, and no look for
    another bundle but those that a test takes."""
    patient = {"request_deadline_ms": 30_000, "bundle_check_s": 3_600}
    return Settings(**{"home": Path(home), "full_slate_share": 1.0, **patient, **fields})


def ids_of(page):
    """The ids of a page's videos in order."""
    return [video["video_id"] for video in page["videos"]]


def authors_of(page):
    """The authors of a page's videos."""
    return {video["user"]["user_id"] for video in page["videos"]}
