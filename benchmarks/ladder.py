"""For-You while each server, the worker and a replica are away in turn: who is answered, when, and from which rung.

Two replicas and a worker on servers of their own; clients ask steadily, and ask the other replica once where one has
not answered in time (--try-ms) or has failed. Each victim is killed (SIGKILL) and started again, and later held still
(SIGSTOP: it keeps its connections and answers nothing) and let go. Every answer is judged: its fields, no video twice,
nothing that the viewer was shown before, and never empty, unless it says why. Then each rung of the ladder alone is
timed, on replicas that leave out those above it.

    python -m benchmarks.ladder [--per-s 4] [--away-s 6] [--try-ms 500] [--deadline-ms 1000] [--viewers 60]

Exits with 1 where a request had no well-formed answer within the deadline, or a server met a bug (500).
"""

import argparse
import asyncio
import json
import os
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from statistics import median, quantiles

import httpx

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
os.environ.setdefault("OMP_NUM_THREADS", "1")

from benchmarks._ladder_clients import EVENTS, Clients
from benchmarks._ladder_server import RUNGS
from core.clock import system_clock
from core.settings import Settings
from deploy.stack import NAMES, Stack
from tests.integration.running_cluster import ROOT, Program, answers, free_port
from tests.integration.trained_cluster import trained_cluster

VICTIMS = (*NAMES, "worker", "replica")
HOWS = ("killed", "hanging")
RECOVERY_S, WARM_S, RUNG_S = 4.0, 16.0, 16.0


class Below(Program):
    """A replica that answers from a rung below the full one."""

    command = ("-m", "benchmarks._ladder_server")


def below(cluster, rung):
    """One, started; its pages come from `rung`."""
    port = free_port()
    program = Below(cluster, f"below-{rung}", [rung, "serve", "--port", str(port)], lambda p: answers(port))
    program.url = f"http://127.0.0.1:{port}"
    cluster.programs[program.name] = program
    return program.start()


def publish(cluster, count=150):
    """New videos, which can be on the Trending board; their ids, once the replicas know them."""
    now_ms, names = int(time.time() * 1000), [f"new{number}" for number in range(count)]
    events = [
        {
            "kind": "video_published", "event_id": f"p{name}", "time_ms": now_ms, "video_id": name,
            "author_id": f"n{number % 12}", "length_ms": 9_000, "upload_ms": now_ms, "topic": f"t{number % 6}",
            "language": "l0", "region": "r0",
        }
        for number, name in enumerate(names)
    ]  # fmt: skip
    token = cluster.keys().issue("staff", ttl_s=600, clock=system_clock, role="operator")
    url, headers = cluster.replicas()[0].url + EVENTS, {"Authorization": f"Bearer {token}"}
    httpx.post(url, json={"events": events}, headers=headers, timeout=30).raise_for_status()
    time.sleep(3)
    return names


def stop(cluster, victim, how):
    """Take the victim away."""
    if victim in NAMES:
        return cluster.stack.kill(victim) if how == "killed" else cluster.stack.suspend(victim)
    program = cluster.programs[{"replica": "replica-1"}.get(victim, victim)]
    return program.kill() if how == "killed" else os.kill(program.pid, signal.SIGSTOP)


def bring_back(cluster, victim, how):
    """And bring it back."""
    if victim in NAMES:
        return cluster.stack.start(victim) if how == "killed" else cluster.stack.resume(victim)
    program = cluster.programs[{"replica": "replica-1"}.get(victim, victim)]
    return program.start() if how == "killed" else os.kill(program.pid, signal.SIGCONT)


async def outages(cluster, done, phases, away_s):
    """One victim after the other; a phase lasts until it is back and some seconds more."""
    phases["none", ""] = (time.time(), time.time() + WARM_S)
    await asyncio.sleep(WARM_S)
    for how in HOWS:
        for victim in VICTIMS:
            began = time.time()
            await asyncio.to_thread(stop, cluster, victim, how)
            await asyncio.sleep(away_s)
            await asyncio.to_thread(bring_back, cluster, victim, how)
            await asyncio.sleep(RECOVERY_S)
            phases[victim, how] = (began, time.time())
    done.set()


async def rungs(cluster, clients):
    """Every rung by itself, on a replica of its own; the requests that it answered, by rung."""
    found, clients.quiet = {}, True  # who says nothing keeps what ranked behind their last page
    await steadily(clients, WARM_S)
    for rung in RUNGS[1:]:
        clients.replicas = [await asyncio.to_thread(below, cluster, rung)]
        before = len(clients.requests)
        await steadily(clients, RUNG_S)
        found[rung] = clients.requests[before:]
        await asyncio.to_thread(clients.replicas[0].stop)
    return found


async def steadily(clients, seconds):
    """Requests for some seconds."""
    done = asyncio.Event()
    asyncio.get_running_loop().call_later(seconds, done.set)
    await clients.run(done)


async def measured(cluster, options):
    """The clients, the phases by victim and how it went, and the requests by the rung that was left to answer them."""
    viewers = [f"u{number}" for number in range(options.viewers)]
    patience = {"try_s": options.try_ms / 1000, "deadline_s": options.deadline_ms / 1000}
    clients = Clients(cluster.replicas(), viewers, cluster.bearer, per_s=options.per_s, **patience)
    done, phases = asyncio.Event(), {}
    await clients.warm(await asyncio.to_thread(publish, cluster))
    async with asyncio.TaskGroup() as both:
        both.create_task(clients.run(done))
        both.create_task(outages(cluster, done, phases, options.away_s))
    return clients, phases, await rungs(cluster, clients)


def row_of(requests, deadline_s):
    """What a table says of some requests."""
    answered = [request for request in requests if not request.wrong and request.seconds <= deadline_s]
    times = sorted(request.seconds * 1e3 for request in answered) or [0.0]
    parts = Counter(part for request in answered for part in request.degraded if part not in RUNGS)
    return {
        "requests": len(requests),
        "answered": len(answered),
        "empty": sum(bool({"safety_unknown", "nothing_left"} & set(request.degraded)) for request in answered),
        "retried": sum(len(request.tries) > 1 for request in requests),
        "in_time": round(len(answered) / max(len(requests), 1), 4),
        "in_1_s": round(sum(request.seconds <= 1 for request in answered) / max(len(requests), 1), 3),
        "p50_ms": round(median(times)),
        "p99_ms": round(p99(times)),
        "rungs": dict(Counter(request.rung for request in answered)),
        "without": dict(parts),
    }


def p99(times):
    """Of a list that has at least one."""
    return quantiles(times, n=100, method="inclusive")[98] if len(times) > 1 else times[0]


def tell_victims(clients, phases, deadline_s):
    """The table of who was away; its rows."""
    print(f"{'victim':20} requests answered retried in 1 s p50 ms p99 ms  rungs; without")
    table = {}
    for (victim, how), (began, ended) in phases.items():
        row = row_of([request for request in clients.requests if began <= request.began < ended], deadline_s)
        name = f"{victim} {how}".strip()
        table[name] = row
        numbers = f"{row['requests']:>9}{row['answered']:>9}{row['retried']:>8}{row['in_1_s']:>7.0%}"
        print(f"{name:20}{numbers}{row['p50_ms']:>7}{row['p99_ms']:>7}  {row['rungs']}; {row['without']}")
    return table


def tell_rungs(clients, phases, forced):
    """The time of the try that was answered, by rung; of the lower ones on replicas that leave out those above."""
    print(f"\n{'rung':12}{'pages':>7}{'p50 ms':>8}{'p99 ms':>8}  all that the replica answered")
    ended, line = max(end for _, end in phases.values()), {}
    for rung in RUNGS:
        asked = forced.get(rung, [request for request in clients.requests if request.began < ended])
        times = sorted(request.own_s * 1e3 for request in asked if request.rung == rung and not request.wrong)
        line[rung] = {"pages": len(times), "p50_ms": round(median(times or [0])), "p99_ms": round(p99(times or [0]))}
        others = dict(Counter(request.rung or request.wrong for request in asked))
        print(f"{rung:12}{len(times):>7}{line[rung]['p50_ms']:>8}{line[rung]['p99_ms']:>8}  {others}")
    return line


def report(clients, phases, forced, options):
    """The tables and the JSON line; 1 where a request had no well-formed answer in time, or a server met a bug."""
    deadline_s = options.deadline_ms / 1000
    table, line = tell_victims(clients, phases, deadline_s), tell_rungs(clients, phases, forced)
    bad = [request for request in clients.requests if request.wrong or request.seconds > deadline_s]
    for request in bad[:10]:
        when = next((key for key, (began, end) in phases.items() if began <= request.began < end), ("other", ""))
        print("BROKEN", *when, request.tries, f"{request.seconds:.2f} s", request.wrong, request.degraded)
    print(f"\nreports by status: {clients.reports}; load {os.getloadavg()[0]:.1f}")
    totals = {"requests": len(clients.requests), "bad": len(bad), "load": round(os.getloadavg()[0], 1)}
    print(json.dumps({"benchmark": "ladder", **totals, "by_rung": line, "victims": table}))
    return 1 if bad or 500 in clients.reports else 0


def tell_bugs(cluster):
    """What the replicas logged of requests that they answered with 500."""
    for program in cluster.replicas():
        log = program.log.read_text(errors="replace")
        for part in log.split("\nError ")[1:][:3]:  # as serving.errors writes it, with the traceback behind
            print(f"\n{program.name}: Error {part[:6_000]}")


def main():
    """Run, judge, print."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    load = (("--per-s", 4), ("--viewers", 60), ("--away-s", 6))
    for name, default in (*load, ("--try-ms", 500), ("--deadline-ms", 1_000)):
        options.add_argument(name, type=int, default=default)
    chosen = options.parse_args()
    print(f"Python {sys.version.split()[0]}; budget of a request {Settings().request_deadline_ms} ms; {ROOT.name}")
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o711)  # the account of PostgreSQL passes through
        stack = Stack(Path(folder) / "stack")
        try:
            with trained_cluster(Path(folder), stack) as cluster:
                status = report(*asyncio.run(measured(cluster, chosen)), chosen)
                tell_bugs(cluster)
        finally:
            stack.remove()
    sys.exit(status)


if __name__ == "__main__":
    main()
