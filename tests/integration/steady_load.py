"""Clients that report events and ask for feeds, steadily, through whatever happens; and a record of all of it.

A client sends a batch again, with the same event ids and to the other replica, until it is acknowledged.
"""

import asyncio
import itertools
import random
import time
from dataclasses import dataclass, field

import httpx

EVENTS, FEED = "/api/v1/events", "/api/v1/feed/for-you"


@dataclass
class Asked:
    """One request for a feed."""

    at: float
    replica: str
    status: int
    seconds: float
    videos: int = 0
    degraded: tuple = ()


@dataclass
class Record:
    """What was sent, what was acknowledged, what was answered."""

    sent: dict = field(default_factory=dict)
    acknowledged: dict = field(default_factory=dict)
    rejected: dict = field(default_factory=dict)
    resent: int = 0
    refusals: dict = field(default_factory=dict)
    feeds: list = field(default_factory=list)

    def between(self, start, end):
        """The feeds asked for in a span of time."""
        return [asked for asked in self.feeds if start <= asked.at < end]


class SteadyLoad:
    """Viewers who watch, like, follow and comment; `bearer` gives a viewer's token."""

    def __init__(self, replicas, viewers, videos, authors, bearer, *, posts_per_s=30.0, feeds_per_s=5.0, seed=0):
        self.replicas, self.viewers, self.videos, self.authors = replicas, viewers, videos, authors
        self.bearer, self.posts_per_s, self.feeds_per_s = bearer, posts_per_s, feeds_per_s
        self.record, self._rng, self._numbers = Record(), random.Random(seed), itertools.count()
        self._stop = asyncio.Event()
        self._tokens = {viewer: bearer(viewer) for viewer in viewers}

    async def run(self):
        """Until `stop`; every batch that was begun is brought to its acknowledgement."""
        async with httpx.AsyncClient(timeout=5.0) as client:
            posting = [asyncio.create_task(self._post_forever(client, part)) for part in self._parts(10)]
            asking = asyncio.create_task(self._ask_forever(client))
            await asyncio.gather(*posting, asking)

    def stop(self):
        self._stop.set()

    def _parts(self, count):
        return [self.viewers[start::count] for start in range(count)]

    async def _post_forever(self, client, viewers):
        pause = 10 / self.posts_per_s
        while not self._stop.is_set():
            viewer = self._rng.choice(viewers)
            await self._report(client, viewer, [self._event(viewer) for _ in range(self._rng.randint(1, 6))])
            await asyncio.sleep(pause * self._rng.uniform(0.5, 1.5))

    def _event(self, viewer):
        rng, number = self._rng, next(self._numbers)
        kind = rng.choices(
            ("watch", "like", "unlike", "comment", "share", "follow", "unfollow"), (60, 12, 4, 6, 6, 8, 4)
        )[0]
        event = {"event_id": f"load-{number}", "kind": kind, "time_ms": time.time_ns() // 1_000_000}
        if kind in ("follow", "unfollow"):
            event["author_id"] = rng.choice(self.authors)
        else:
            event["video_id"] = rng.choice(self.videos)
        if kind == "watch":
            event |= {"play_ms": rng.randint(500, 30_000), "length_ms": 30_000}
            event["play_ms"] = min(event["play_ms"], 20_000)
        self.record.sent[event["event_id"]] = (viewer, event)
        return event

    async def _report(self, client, viewer, events):
        headers = {"Authorization": f"Bearer {self._tokens[viewer]}"}
        for attempt in itertools.count():
            replica = self.replicas[(hash(viewer) + attempt) % len(self.replicas)]
            try:
                answer = await client.post(replica.url + EVENTS, json={"events": events}, headers=headers)
            except httpx.HTTPError as error:
                self._refused(type(error).__name__)
            else:
                if answer.status_code == 200:
                    for verdict in answer.json()["results"]:
                        kept = self.record.rejected if verdict["status"] == "rejected" else self.record.acknowledged
                        kept[verdict["event_id"]] = verdict
                    return
                assert answer.status_code in (503, 507), answer.text
                assert "retry-after" in answer.headers
                self._refused(answer.status_code)
            self.record.resent += len(events)
            await asyncio.sleep(0.3)

    def _refused(self, why):
        self.record.refusals[why] = self.record.refusals.get(why, 0) + 1

    async def _ask_forever(self, client):
        for number in itertools.count():
            if self._stop.is_set():
                return
            replica = self.replicas[number % len(self.replicas)]
            asyncio.get_running_loop().create_task(self._ask(client, replica, self._rng.choice(self.viewers)))
            await asyncio.sleep(1 / self.feeds_per_s)

    async def _ask(self, client, replica, viewer):
        start, clock = time.time(), time.perf_counter()
        headers = {"Authorization": f"Bearer {self._tokens[viewer]}"}
        try:
            answer = await client.get(replica.url + FEED, params={"limit": 20}, headers=headers)
        except httpx.HTTPError:
            self.record.feeds.append(Asked(start, replica.name, 0, time.perf_counter() - clock))
            return
        asked = Asked(start, replica.name, answer.status_code, time.perf_counter() - clock)
        if answer.status_code == 200:
            page = answer.json()
            asked.videos, asked.degraded = len(page["videos"]), tuple(page["degraded"])
        self.record.feeds.append(asked)
