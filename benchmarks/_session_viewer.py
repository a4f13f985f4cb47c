"""A simulated viewer of benchmarks/sessions.py: asks for pages, reacts at random, judges the answers by the rules."""

import http.client
import json
import random
import time
import urllib.parse
from collections import Counter
from dataclasses import dataclass, field

FEED, EVENTS = "/api/v1/feed/for-you", "/api/v1/events"
RELATIONS = {"follow": "unfollow", "hide_author": "unhide_author", "block": "unblock"}
STRONG_BITS = {"like": 2, "skip": 8, "not_interested": 16}


class Servers:
    """Two servers, either of which is asked; the other one where that does not answer."""

    def __init__(self, ports, token_of, seed):
        self.ports, self.token_of, self.rng = ports, token_of, random.Random(seed)
        self.open, self.retries = {}, 0

    def ask(self, user, method, path, body=None, role="viewer"):
        """The answer as JSON; retried until a server gives one, as a client would."""
        first = self.rng.randrange(2)
        for turn in range(600):
            port = self.ports[(first + turn) % 2]
            try:
                connection = self.open.get(port) or http.client.HTTPConnection("127.0.0.1", port, timeout=60)
                self.open[port] = connection
                headers = {"Authorization": f"Bearer {self.token_of(user, role)}", "Content-Type": "application/json"}
                connection.request(method, path, json.dumps(body) if body is not None else None, headers)
                answer = connection.getresponse()
                raw = answer.read()
                if answer.status == 200:
                    return json.loads(raw)
                if answer.status != 503:
                    raise SystemExit(f"{method} {path}: {answer.status} {raw[:300]!r}")
            except (OSError, http.client.HTTPException):
                self.open.pop(port, None)
            self.retries += 1
            time.sleep(0.1 if turn % 2 else 0.0)
        raise SystemExit("Neither server answers.")


@dataclass
class Viewer:
    """What one viewer was shown and said, and every rule that an answer broke."""

    name: str
    servers: Servers
    removed: dict
    seed: int
    limit: int = 20
    counts: Counter = field(default_factory=Counter)
    broken: list = field(default_factory=list)
    served: list = field(default_factory=list)  # (slate id, videos) by page
    authors: dict = field(default_factory=dict)
    banned: dict = field(default_factory=dict)
    follows: set = field(default_factory=set)
    cursors: list = field(default_factory=list)
    numbers: list = field(default_factory=list)  # of the pages, as the server counts them
    owed: list = field(default_factory=list)  # what the next page must know: (kind, id)
    promises: list = field(default_factory=list)  # (slate id, what it must know)
    events: int = 0

    def __post_init__(self):
        self.rng = random.Random(self.seed)

    def step(self):
        """A page and what it moves the viewer to; sometimes an old page again."""
        page = self.page()
        self.react(page)
        if self.served and self.rng.random() < 0.3:
            self.again()

    def page(self):
        """The next page, asked for in one of three ways."""
        way, query = self.rng.randrange(3), {}
        if way == 1 and self.cursors:
            query = {"cursor": self.cursors[-1]}
        elif way == 2:
            query = {"page": self.numbers[-1] + 1 if self.numbers else 0}
        began = time.monotonic()
        page = self.ask(query)
        videos = [video["video_id"] for video in page["videos"]]
        self.counts["pages"] += 1
        self.counts["all seen"] += page["all_seen"]
        self.counts["videos"] += len(videos)
        repeated = set(videos) & self.authors.keys()  # all that was shown
        self.judge(not repeated and len(set(videos)) == len(videos), "repeats", (len(self.served), sorted(repeated)))
        self.judge(not page["degraded"] or page["all_seen"], "degraded", page["degraded"])
        self.visible(page, began)
        self.promises.append((page["slate_id"], self.owed))
        self.owed = []
        self.served.append((page["slate_id"], videos))
        self.cursors.append(page["cursor"])
        # An answer that was lost with its process leaves a page that we never saw: the server's number counts.
        self.numbers.append(page["next_page"] - 1 if page["has_more"] else (self.numbers or [-1])[-1] + 1)
        self.authors |= {video["video_id"]: video["user"]["user_id"] for video in page["videos"]}
        return page

    def again(self):
        """A page that was served, which must be as it was, less what may not be shown any more."""
        number = self.rng.choice([0, self.rng.randrange(len(self.served))])
        query, before = {"page": self.numbers[number]}, self.numbers[number - 1]
        if number and before + 1 == self.numbers[number] and self.rng.random() < 0.5:
            query = {"cursor": self.cursors[number - 1]}
        began = time.monotonic()
        page, (slate_id, shown) = self.ask(query), self.served[number]
        got = [video["video_id"] for video in page["videos"]]
        gone = {video for video in shown if self.authors[video] in self.banned or video in self.removed}
        sure = [video for video in shown if video not in gone]
        left = [video for video in got if video not in gone]  # one may be removed while we ask
        self.counts["read again"] += 1
        self.judge(left == sure and page["slate_id"] == slate_id, "changed", (number, sure, got))
        self.visible(page, began)

    def ask(self, query):
        """The answer to a request for a page."""
        asked = urllib.parse.urlencode({"limit": self.limit} | query)
        return self.servers.ask(self.name, "GET", f"{FEED}?{asked}")

    def visible(self, page, began):
        """Nothing of whom the viewer does not want to see, and nothing that was removed before we asked."""
        for video in page["videos"]:
            gone = self.removed.get(video["video_id"], began + 1) < began
            leak = gone or video["user"]["user_id"] in self.banned
            self.judge(not leak, "leaks", (video["video_id"], video["user"]["user_id"]))

    def judge(self, holds, rule, facts):
        """Remember a broken rule."""
        self.counts[rule] += not holds
        if not holds:
            self.broken.append((rule, self.name, facts))

    def react(self, page):
        """Impressions of all, watches of some, and now and then more."""
        events = [self.event("impression", page, video) for video in page["videos"]]
        watched = self.rng.sample(page["videos"], min(4, len(page["videos"])))
        for video in watched:
            length = int(video["duration_sec"] * 1000)
            skip = self.rng.random() < 0.15 and length > 4_000
            play = 500 if skip else length // 2
            events.append(self.event("watch", page, video, play_ms=play, length_ms=length))
            if skip:
                self.owed.append(("skip", video["video_id"]))
        if watched:
            events += self.reactions(page, self.rng.choice(watched))
        answer = self.servers.ask(self.name, "POST", EVENTS, {"events": events})
        rejected = [verdict for verdict in answer["results"] if verdict["status"] == "rejected"]
        self.judge(not rejected, "rejected", rejected[:3])
        if page["videos"] and self.rng.random() < 0.03:
            author = self.rng.choice(page["videos"])["user"]["user_id"]
            event = self.event("block", page, None, author_id=self.name)
            self.servers.ask(author, "POST", EVENTS, {"events": [event]})
            self.banned[author] = "blocked by"

    def reactions(self, page, video):
        """What the viewer says of a video that was watched, or of its author."""
        author, act = video["user"]["user_id"], self.rng.random()
        if act < 0.15:
            kind = self.rng.choice(["like", "not_interested"])
            self.owed.append((kind, video["video_id"]))
            return [self.event(kind, page, video)]
        if act < 0.25:
            self.follows.add(author)
            self.owed.append(("follow", author))
            return [self.event("follow", page, None, author_id=author)]
        if act < 0.29:
            kind = self.rng.choice(["hide_author", "block"])
            self.banned.setdefault(author, kind)
            return [self.event(kind, page, None, author_id=author)]
        undone = [name for name, how in self.banned.items() if how in RELATIONS]
        if act < 0.31 and undone:
            name = self.rng.choice(undone)
            return [self.event(RELATIONS[self.banned.pop(name)], page, None, author_id=name)]
        if act < 0.33 and self.follows:
            name = self.follows.pop()
            self.owed.append(("unfollow", name))
            return [self.event("unfollow", page, None, author_id=name)]
        return []

    def event(self, kind, page, video, **fields):
        """An event of now."""
        self.events += 1
        place = {"video_id": video["video_id"], "slate_id": page["slate_id"]} if video else {}
        event_id = f"{self.name}-{self.seed}-{self.events}"
        return {"kind": kind, "event_id": event_id, "time_ms": int(time.time() * 1000), **place, **fields}
