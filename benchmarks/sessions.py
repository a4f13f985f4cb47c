"""Sessions over two serving processes that are killed and started again: what must hold of every page, counted.

Viewers ask either process for pages and react at random; operators remove videos meanwhile; every so many seconds one
of the processes is killed (SIGKILL) and starts anew, and with it goes its cache. Counted are repeats within a session,
videos that may not be shown, pages that changed between two readings, and reactions that the next page did not know of:
what was read of the viewer for each slate is on record, and is looked up afterwards.

    python benchmarks/sessions.py [--viewers 20] [--pages 30] [--limit 20] [--videos 6000] [--kill-every 20]
                                  [--minutes 0] [--home HOME]

With --minutes nobody begins another page after so many, and the last line says how far everyone came. Processor time of
the clients, and of the servers with their starts, is printed too. Without --home a small world is made and trained
first. Exits with 1 where a rule was broken.
"""

import argparse
import asyncio
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
os.environ.setdefault("OMP_NUM_THREADS", "1")

from benchmarks._session_viewer import EVENTS, STRONG_BITS, Servers, Viewer
from core.arrays import unpack
from core.clock import system_clock
from foryou.stores import open_stores
from serving.auth import DevKeys

ROOT, PORTS, THREADS, BY_TURNS = Path(__file__).resolve().parents[1], (8461, 8462), 4, 4


class Pair:
    """The two processes."""

    def __init__(self, home):
        self.home, self.looks, self.kills = home, Counter(), 0
        self.processes = [self.start(at) for at in range(2)]
        for at in range(2):
            self.wait(at)

    def start(self, at):
        """One process on the home."""
        command = [sys.executable, "-m", "benchmarks._sessions_server", str(self.home), str(PORTS[at])]
        environment = os.environ | {"FORYOU_REQUEST_DEADLINE_MS": "60000", "FORYOU_FULL_SLATE_SHARE": "0"}
        with (self.home / f"server-{at}.log").open("ab") as log:
            return subprocess.Popen(command, env=environment, stdout=log, stderr=log, cwd=ROOT)

    def wait(self, at):
        """Until it is ready."""
        for _ in range(600):
            try:
                return urllib.request.urlopen(f"http://127.0.0.1:{PORTS[at]}/ready", timeout=5).read()
            except OSError:
                if self.processes[at].poll() is not None:
                    raise SystemExit(f"A server has ended by itself; {self.home}/server-{at}.log says why.") from None
                time.sleep(0.2)
        raise SystemExit("A server does not become ready.")

    def kill_by_turns(self, every_s, done):
        """Kill one, start it again, wait, and take the other the next time."""
        while not done.wait(every_s):
            at = self.kills % 2
            self.read_looks(at)
            self.processes[at].kill()
            self.processes[at].wait()
            self.processes[at] = self.start(at)
            self.wait(at)
            self.kills += 1

    def read_looks(self, at):
        """Add what the process counted of its caches."""
        text = urllib.request.urlopen(f"http://127.0.0.1:{PORTS[at]}/metrics", timeout=30).read().decode()
        for line in text.splitlines():
            if line.startswith("foryou_cache_looks_total"):
                name, found = line.split('cache="')[1].split('"')[0], line.split('found="')[1].split('"')[0]
                self.looks[name, found] += float(line.split()[-1])

    def stop(self):
        """Both."""
        for at in range(2):
            if self.processes[at].poll() is None:
                self.read_looks(at)
            self.processes[at].terminate()
            self.processes[at].wait()


def make_home(folder):
    """A small world, trained."""
    from tests.e2e.tiny import build

    build(folder)
    return folder


def publish(servers, videos):
    """Enough videos for sessions of any length, by many authors on the world's topics."""
    rng, now = random.Random(3), int(time.time() * 1000)
    for start in range(0, videos, 500):
        events = [
            {
                "kind": "video_published", "event_id": f"bench-{number}", "viewer_id": f"b{number % 400}",
                "time_ms": now, "video_id": f"bench{number}", "author_id": f"b{number % 400}",
                "length_ms": rng.randrange(6_000, 60_000), "upload_ms": now - rng.randrange(6 * 86_400_000),
                "topic": f"t{number % 12}", "language": "l0", "region": "r0",
            }
            for number in range(start, min(start + 500, videos))
        ]  # fmt: skip
        servers.ask("staff", "POST", EVENTS, {"events": events}, role="operator")


def live(viewers, servers, pages, removed, rng, until_s, removing):
    """All pages of these viewers, of some of them by turns and then of others; after a share of them a video is
    removed. When the time is up nobody begins another page."""
    turns = (viewer for start in range(0, len(viewers), BY_TURNS) for _ in range(pages)
             for viewer in viewers[start : start + BY_TURNS])  # fmt: skip
    for viewer in turns:
        if time.monotonic() < until_s:
            viewer.step()
            if viewer.served and rng.random() < removing:
                video = rng.choice(viewer.served[-1][1] or [""])
                event = viewer.event("video_removed", {"slate_id": ""}, None, video_id=video)
                if video and video not in removed:
                    servers.ask("staff", "POST", EVENTS, {"events": [event | {"viewer_id": "staff"}]}, role="operator")
                    removed[video] = time.monotonic()


async def promises_kept(home, viewers, counts):
    """Look up what each page knew of what was said before it."""
    stores = open_stores(home)
    table = await stores.videos.load()
    for viewer in viewers:
        for slate_id, owed in viewer.promises:
            detail = await stores.slates.get_detail(slate_id) if owed else None
            if owed and detail is None:
                counts["unrecorded"] += len(owed)  # its process was killed after it had answered
            elif detail is not None:
                served = unpack(detail.served)[0]
                for kind, name in owed:
                    counts["adaptations"] += 1
                    if not knows(served, table, kind, name):
                        counts["not adapted"] += 1
                        viewer.broken.append(("not adapted", viewer.name, (slate_id, kind, name)))
    await stores.let_go()


def knows(served, table, kind, name):
    """Whether what was read for a slate includes a reaction."""
    if kind in ("follow", "unfollow"):
        rows = table.author[served["rows"]] == table.authors.code(name)
        return bool((served["read"]["follows"][rows] == (kind == "follow")).all())
    state = served["viewer_read"][0]
    length = int(state["history_len"])
    marks = dict(zip(state["history_video"][:length].tolist(), state["history_signal"][:length].tolist(), strict=True))
    return bool(marks.get(table.row(name), 0) & STRONG_BITS[kind])


def main():
    """Run, judge, print."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (
        ("--viewers", 20),
        ("--pages", 30),
        ("--limit", 20),
        ("--videos", 6_000),
        ("--kill-every", 20),
        ("--minutes", 0),
    ):
        options.add_argument(name, type=int, default=default)
    options.add_argument("--home", type=Path)
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        run(chosen, chosen.home or make_home(Path(folder) / "home"))


def run(chosen, home):
    """With a home."""
    keys = DevKeys.ensure(home / "keys")
    tokens = {}

    def token_of(user, role):
        if (user, role) not in tokens:
            tokens[user, role] = keys.issue(user, ttl_s=86_400, clock=system_clock, role=role)
        return tokens[user, role]

    pair, removed, done = Pair(home), {}, threading.Event()
    clients = [Servers(PORTS, token_of, seed) for seed in range(THREADS)]
    publish(clients[0], chosen.videos)
    viewers = [Viewer(f"w{n}", clients[n % THREADS], removed, n, chosen.limit) for n in range(chosen.viewers)]
    removing = min(0.02, chosen.videos / 5 / (chosen.viewers * chosen.pages))  # most videos stay, however long it runs
    until_s = time.monotonic() + (chosen.minutes * 60 or float("inf"))
    killer = threading.Thread(target=pair.kill_by_turns, args=(chosen.kill_every, done))
    threads = [
        threading.Thread(
            target=live,
            args=(viewers[n::THREADS], clients[n], chosen.pages, removed, random.Random(n), until_s, removing),
        )
        for n in range(THREADS)
    ]
    began = time.perf_counter()
    for thread in (killer, *threads):
        thread.start()
    for thread in threads:
        thread.join()
    spent_s = time.perf_counter() - began
    done.set()
    killer.join()
    pair.stop()
    counts = sum((viewer.counts for viewer in viewers), Counter())
    asyncio.run(promises_kept(home, viewers, counts))
    report(counts, pair, clients, removed, spent_s, viewers, chosen.pages)


def processor_s(who):
    """User and system time of ourselves or of the processes that have ended."""
    used = resource.getrusage(who)
    return used.ru_utime + used.ru_stime


def report(counts, pair, clients, removed, spent_s, viewers, pages):
    """The table and the JSON line; exit 1 where a rule was broken or a viewer's thread has died."""
    rules = ("repeats", "leaks", "changed", "not adapted", "degraded", "rejected")
    line = {"benchmark": "sessions", **{name: counts[name] for name in (*rules, "pages", "read again", "videos")}}
    line |= {name: counts[name] for name in ("adaptations", "unrecorded", "all seen")}
    line |= {"kills": pair.kills, "removed": len(removed), "retries": sum(client.retries for client in clients)}
    line["viewers"] = sum(bool(viewer.served) for viewer in viewers)
    line["viewers_done"] = sum(len(viewer.served) == pages for viewer in viewers)
    line["longest_session"] = max(len(viewer.served) for viewer in viewers)
    line["server_ms_a_page"] = round(processor_s(resource.RUSAGE_CHILDREN) * 1e3 / max(counts["pages"], 1), 1)
    line["client_ms_a_page"] = round(processor_s(resource.RUSAGE_SELF) * 1e3 / max(counts["pages"], 1), 1)
    line["pages_a_second"] = round((counts["pages"] + counts["read again"]) / spent_s, 1)
    for cache in ("foryou", "video", "seen"):
        found, missed = pair.looks[cache, "yes"], pair.looks[cache, "no"]
        line[f"{cache}_hit_rate"] = round(found / max(found + missed, 1), 3)
    for name, value in line.items():
        print(f"{name:16}{value}")
    for broken in [broken for viewer in viewers for broken in viewer.broken][:10]:
        print("BROKEN", *broken)
    print(json.dumps(line))
    if any(counts[rule] for rule in rules):
        sys.exit(1)


if __name__ == "__main__":
    main()
