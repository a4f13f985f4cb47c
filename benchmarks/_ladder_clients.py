"""A steady stream of For-You requests for benchmarks/ladder.py: two tries under one deadline, every answer judged."""

import asyncio
import itertools
import random
import time
from dataclasses import dataclass, field

import httpx

from benchmarks._ladder_server import RUNGS
from feeds.ladder import FULL, LAST_PAGE

FEED, EVENTS = "/api/v1/feed/for-you", "/api/v1/events"
LIMIT = 20
FIELDS = {"videos", "next_page", "has_more", "cursor", "slate_id", "all_seen", "degraded"}
EMPTY_FOR = {"safety_unknown", "nothing_left"}  # what an empty page must say
REPEATS_FOR = {"session", LAST_PAGE}  # what a page that repeats a video must say


@dataclass
class Request:
    """What became of a request; `tries` the statuses of both tries (0: no answer in time), `wrong` what is not as it
    must be, `own_s` the seconds of the try that was answered."""

    began: float
    seconds: float = 0.0
    own_s: float = 0.0
    tries: list = field(default_factory=list)
    rung: str = ""
    degraded: tuple = ()
    wrong: str = "no answer"


class Clients:
    """Viewers who ask for their next pages, by turns; every other page is reported, with a skip or a like."""

    def __init__(self, replicas, viewers, bearer, *, try_s, deadline_s, per_s, seed=0):
        self.replicas, self.viewers = replicas, viewers
        self.try_s, self.deadline_s, self.per_s, self.rng = try_s, deadline_s, per_s, random.Random(seed)
        self.headers = {viewer: {"Authorization": f"Bearer {bearer(viewer)}"} for viewer in viewers}
        self.requests, self.shown, self.numbers = [], {viewer: set() for viewer in viewers}, itertools.count()
        self.reports = {}
        self.quiet = False  # whether nobody reacts

    async def warm(self, fresh, until_s=90):
        """Everyone watches some new videos, and asks until a page comes in time with nothing left out."""
        began = time.monotonic()
        async with httpx.AsyncClient() as client:
            for number, viewer in enumerate(self.viewers):
                watched = [{"kind": "watch", "video_id": video, "play_ms": 9_000, "length_ms": 9_000}
                           for video in self.rng.sample(fresh, min(len(fresh), 25))]  # fmt: skip
                await self._send(client, viewer, watched)
                page = None
                while page is None or page["degraded"]:
                    page = await self._page(client, viewer, Request(time.time()), number)
                    if time.monotonic() - began > until_s:
                        raise SystemExit(f"Not even with everything up a page comes: {page and page['degraded']}")
                    if page is not None:
                        self.shown[viewer].update(video["video_id"] for video in page["videos"])

    async def run(self, done):
        """Until `done` is set; what was begun is brought to its end."""
        async with httpx.AsyncClient() as client, asyncio.TaskGroup() as asking:
            began = time.monotonic()
            for number in itertools.count():
                if done.is_set():
                    return
                asking.create_task(self._one(client, number))
                await asyncio.sleep(max(began + (number + 1) / self.per_s - time.monotonic(), 0))

    async def _one(self, client, number):
        viewer, request = self.viewers[number % len(self.viewers)], Request(time.time())
        self.requests.append(request)
        page = await self._page(client, viewer, request, number)
        if page is None:
            return
        videos = [video["video_id"] for video in page["videos"]]
        request.degraded = tuple(page["degraded"])
        request.rung = next((rung for rung in RUNGS if rung in page["degraded"]), FULL)
        request.wrong = self._wrong(page, videos, self.shown[viewer])
        self.shown[viewer].update(videos)
        if videos and not self.quiet and number % 2:
            await self._report(client, viewer, page)

    async def _page(self, client, viewer, request, number):
        """The answer of the first replica, or, where it has none in `try_s`, of the other one."""
        began = time.monotonic()
        for turn in range(2):
            replica, own = self.replicas[(number + turn) % len(self.replicas)], time.monotonic()
            left_s = self.try_s if turn == 0 else began + self.deadline_s - own
            status, page = await self._try(client, replica, viewer, left_s)
            request.tries.append(status)
            request.seconds, request.own_s = time.monotonic() - began, time.monotonic() - own
            if status == 200:
                return page
        return None

    async def _try(self, client, replica, viewer, left_s):
        try:
            async with asyncio.timeout(left_s):
                answer = await client.get(
                    replica.url + FEED, params={"limit": LIMIT}, headers=self.headers[viewer], timeout=None
                )
                return answer.status_code, answer.json() if answer.status_code == 200 else None
        except (TimeoutError, httpx.HTTPError):
            return 0, None

    @staticmethod
    def _wrong(page, videos, shown):
        """What is not as it must be, "" where all is."""
        said = set(page["degraded"])
        if missing := FIELDS - page.keys():
            return f"without {sorted(missing)}"
        if len(set(videos)) != len(videos) or len(videos) > LIMIT:
            return "a video twice on a page, or too many"
        if not videos and not said & EMPTY_FOR:
            return "empty without a word"
        if shown & set(videos) and not said & REPEATS_FOR and not page["all_seen"]:
            return "a repeated video without a word"
        return ""

    async def _report(self, client, viewer, page):
        """Impressions, and a skip or a like; what is not taken now is not sent again."""
        slate, videos = page["slate_id"], page["videos"]
        events = [{"kind": "impression", "video_id": video["video_id"], "slate_id": slate} for video in videos]
        first = {"video_id": videos[0]["video_id"], "slate_id": slate}
        events.append({"kind": "watch", "play_ms": 500, "length_ms": int(videos[0]["duration_sec"] * 1000), **first})
        events.append({"kind": "like", "video_id": videos[-1]["video_id"]})
        await self._send(client, viewer, events)

    async def _send(self, client, viewer, events):
        """To any replica, once."""
        told = {"time_ms": int(time.time() * 1000)}
        body = {"events": [{"event_id": f"l{next(self.numbers)}", **told, **event} for event in events]}
        replica = self.rng.choice(self.replicas)
        try:
            answer = await client.post(replica.url + EVENTS, json=body, headers=self.headers[viewer], timeout=2)
            status = answer.status_code
        except httpx.HTTPError:
            status = 0
        self.reports[status] = self.reports.get(status, 0) + 1
