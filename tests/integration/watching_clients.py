"""Viewers who open the feed, report what they saw of it by slate id, and come back; and what they were served."""

import asyncio
import random
import time
from dataclasses import dataclass, field

import httpx

from tests.integration.steady_load import EVENTS, FEED

PAGE = 20


@dataclass
class Watched:
    """What was served and reported: slates as (slate id, viewer, video ids)."""

    slates: list = field(default_factory=list)
    reported: int = 0
    refused: list = field(default_factory=list)

    @property
    def rows(self):
        return sum(len(videos) for _, _, videos in self.slates)


class WatchingClients:
    """Some viewers at a time; `operator` is a token that may publish and change videos."""

    def __init__(self, replicas, bearer, operator="", *, at_once=6, seed=0):
        self.urls, self.bearer, self.operator = [replica.url for replica in replicas], bearer, operator
        self.at_once, self.watched, self._rng, self._events = at_once, Watched(), random.Random(seed), 0
        self._seed = seed

    async def run(self, viewers, slates):
        """Until so many slates were served; then everything that was begun is reported."""
        wanted = len(self.watched.slates) + slates
        async with httpx.AsyncClient(timeout=10.0) as client:
            await asyncio.gather(
                *(self._visit(client, viewers[n :: self.at_once], wanted) for n in range(self.at_once))
            )

    async def _visit(self, client, viewers, wanted):
        while len(self.watched.slates) < wanted:
            viewer = self._rng.choice(viewers)
            page = await self.page(client, viewer)
            if page["videos"]:
                await self.report(client, viewer, self.reactions(page))

    async def page(self, client, viewer, **query):
        """The next page, from any replica."""
        headers = {"Authorization": f"Bearer {self.bearer(viewer)}"}
        answer = await client.get(self._rng.choice(self.urls) + FEED, params={"limit": PAGE} | query, headers=headers)
        assert answer.status_code == 200, answer.text
        page = answer.json()
        videos = tuple(video["video_id"] for video in page["videos"])
        if videos:
            self.watched.slates.append((page["slate_id"], viewer, videos))
        return page

    def reactions(self, page):
        """Most of the page is shown; some of that is watched, some of that liked; a few authors are followed."""
        rng, events, slate_id = self._rng, [], page["slate_id"]
        for video in page["videos"][: rng.randint(8, PAGE)]:
            about = {"video_id": video["video_id"], "slate_id": slate_id}
            events.append(self.event("impression", **about))
            if rng.random() < 0.7:
                play_ms = int(video["duration_sec"] * 1000 * rng.uniform(0.02, 1.2))
                length_ms = max(int(video["duration_sec"] * 1000), 1)
                events.append(self.event("watch", play_ms=min(play_ms, length_ms), length_ms=length_ms, **about))
                if rng.random() < 0.25:
                    events.append(self.event(rng.choice(("like", "like", "share", "save", "comment")), **about))
            if rng.random() < 0.03:
                events.append(self.event("follow", author_id=video["user"]["user_id"], **about))
        return events

    def event(self, kind, **fields):
        self._events += 1
        return {
            "event_id": f"w{self._seed}-{self._events}",
            "kind": kind,
            "time_ms": time.time_ns() // 1_000_000,
        } | fields

    async def report(self, client, viewer, events, bearer=""):
        """Until it is acknowledged; the time of the answer."""
        headers = {"Authorization": f"Bearer {bearer or self.bearer(viewer)}"}
        while True:
            answer = await client.post(self._rng.choice(self.urls) + EVENTS, json={"events": events}, headers=headers)
            if answer.status_code == 200:
                break
            assert answer.status_code == 503, answer.text
            await asyncio.sleep(0.2)
        verdicts = answer.json()["results"]
        self.watched.reported += sum(verdict["status"] == "accepted" for verdict in verdicts)
        self.watched.refused += [verdict for verdict in verdicts if verdict["status"] == "rejected"]
        return time.time()

    async def publish(self, video_ids, author_id):
        """New videos, and a change of topic of others."""
        fields = {"author_id": author_id, "length_ms": 14_000, "topic": "t0", "region": "r0", "language": "l0"}
        new = [
            self.event(
                "video_published", video_id=f"new-{self._events}", upload_ms=time.time_ns() // 1_000_000, **fields
            )
            for _ in range(3)
        ]
        moved = [self.event("video_updated", video_id=video, topic=f"new-{self._events}") for video in video_ids]
        async with httpx.AsyncClient(timeout=10.0) as client:
            await self.report(client, "staff", new + moved, self.operator)
