"""Clients that report events and ask for feeds, steadily, through whatever happens; and a record of all of it.

A client sends a batch again, with the same event ids and to the other replica, until it is acknowledged.
"""

import asyncio
import itertools
import os
import random
import time
from dataclasses import dataclass, field

import httpx

EVENTS, FEED = "/api/v1/events", "/api/v1/feed/for-you"
KINDS = {
    "watch": 44, "like": 11, "unlike": 4, "comment": 6, "share": 6, "follow": 7, "unfollow": 4,
    "impression": 13, "not_interested": 2, "hide_author": 1, "block": 1, "unblock": 1,
}  # fmt: skip
ON_AUTHOR = ("follow", "unfollow", "block", "unblock")
ON_A_PAGE = ("impression", "not_interested", "hide_author")


@dataclass
class Asked:
    """One request for a feed."""

    at: float
    replica: str
    status: int
    seconds: float
    videos: int = 0
    degraded: tuple = ()
    viewer: str = ""
    authors: frozenset = frozenset()
    crowd: float = 1.0  # runnable processes for each processor, of the last minute; at least 1


@dataclass
class Record:
    """What was sent, what was acknowledged, what was answered."""

    sent: dict = field(default_factory=dict)
    acknowledged: dict = field(default_factory=dict)
    acknowledged_at: dict = field(default_factory=dict)
    rejected: dict = field(default_factory=dict)
    resent: int = 0
    refusals: dict = field(default_factory=dict)
    feeds: list = field(default_factory=list)
    retried: list = field(default_factory=list)  # statuses of what a sibling was asked

    def between(self, start, end):
        """The feeds asked for in a span of time."""
        return [asked for asked in self.feeds if start <= asked.at < end]


class SteadyLoad:
    """Viewers who watch, react, follow and block, and report of the pages that they were served what was shown."""

    def __init__(self, replicas, viewers, videos, authors, bearer, *, posts_per_s=30.0, feeds_per_s=5.0, seed=0):
        self.replicas, self.viewers, self.videos, self.authors = replicas, viewers, videos, authors
        self.bearer, self.posts_per_s, self.feeds_per_s = bearer, posts_per_s, feeds_per_s
        self.record, self._rng, self._numbers = Record(), random.Random(seed), itertools.count()
        self._stop = asyncio.Event()
        self._tokens = {viewer: bearer(viewer) for viewer in viewers}
        self._pages = {}

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
        kind = rng.choices(tuple(KINDS), tuple(KINDS.values()))[0]
        page = self._pages.get(viewer)
        if kind in ON_A_PAGE and not page:
            kind = "watch"
        event = {"event_id": f"load-{number}", "kind": kind, "time_ms": time.time_ns() // 1_000_000}
        if kind in ON_A_PAGE:
            event |= self._about(kind, page)
        elif kind in ON_AUTHOR:
            event["author_id"] = rng.choice(self.authors)
        else:
            event["video_id"] = rng.choice(self.videos)
        if kind == "watch":
            event |= {"play_ms": rng.randint(500, 20_000), "length_ms": 30_000}
        self.record.sent[event["event_id"]] = (viewer, event)
        return event

    def _about(self, kind, page):
        """What the next video of the page that was served last says of itself; it is shown once."""
        slate_id, videos = page[0], page[1]
        video_id, author_id = videos.pop(0) if kind == "impression" else videos[0]
        if not videos:
            page.clear()
        return {"slate_id": slate_id} | ({"author_id": author_id} if kind == "hide_author" else {"video_id": video_id})

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
                        self.record.acknowledged_at[verdict["event_id"]] = time.time()
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
            asking = self._ask_twice(client, replica, self._rng.choice(self.viewers))
            asyncio.get_running_loop().create_task(asking)
            await asyncio.sleep(1 / self.feeds_per_s)

    async def _ask_twice(self, client, replica, viewer):
        """As a client does: what one replica does not answer the next one is asked once."""
        if await self._ask(client, replica, viewer) != 200:
            sibling = self.replicas[(self.replicas.index(replica) + 1) % len(self.replicas)]
            self.record.retried.append(await self._ask(client, sibling, viewer))

    async def _ask(self, client, replica, viewer):
        start, clock, crowd = time.time(), time.perf_counter(), max(os.getloadavg()[0] / os.cpu_count(), 1.0)
        headers = {"Authorization": f"Bearer {self._tokens[viewer]}"}
        try:
            answer = await client.get(replica.url + FEED, params={"limit": 20}, headers=headers)
        except httpx.HTTPError:
            self.record.feeds.append(Asked(start, replica.name, 0, time.perf_counter() - clock))
            return 0
        asked = Asked(start, replica.name, answer.status_code, time.perf_counter() - clock, viewer=viewer, crowd=crowd)
        if answer.status_code == 200:
            page = answer.json()
            asked.videos, asked.degraded = len(page["videos"]), tuple(page["degraded"])
            shown = [(video["video_id"], video["user"]["user_id"]) for video in page["videos"]]
            asked.authors = frozenset(author for _, author in shown)
            self._pages[viewer] = [page["slate_id"], shown] if shown else []
        self.record.feeds.append(asked)
        return answer.status_code
