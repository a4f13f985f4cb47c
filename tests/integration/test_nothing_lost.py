"""Under a steady load each server, the worker and a replica are killed in turn; nothing acknowledged is lost."""

import asyncio
import random
import time
from collections import Counter
from statistics import median, quantiles

import pytest

from core.settings import Settings
from tests.integration import servers
from tests.integration.audit import audit
from tests.integration.steady_load import KINDS, SteadyLoad
from tests.integration.trained_cluster import trained_cluster
from tests.trained_home import trained_home_of_the_run

OUTAGE_S, RECOVERY_S = 4.0, 4.0
# The budget of a request, and what a machine adds that also runs the servers, the clients and this test: as many times
# the slack as there are runnable processes for each processor.
DEADLINE_S = Settings().request_deadline_ms / 1000
SLACK_S = 0.35
RUNGS = ("cached", "trending", "last_page")
VICTIMS = ("kafka", "redis", "cassandra", "postgres", "worker", "replica")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    stack = servers.stack_of_its_own("nothing-lost")
    bundles = trained_home_of_the_run(tmp_path_factory) / "bundles"
    with trained_cluster(tmp_path_factory.mktemp("nothing-lost"), stack, bundles=bundles) as running:
        yield running


async def _outages(cluster, load, phases):
    """Kill one after the other, each away for a while."""
    await asyncio.sleep(RECOVERY_S)
    for victim in VICTIMS:
        began = time.time()
        program = cluster.programs.get(victim if victim == "worker" else "replica-1")
        if victim in ("worker", "replica"):
            program.kill()
            await asyncio.sleep(OUTAGE_S)
            await asyncio.to_thread(program.start)
        else:
            await asyncio.to_thread(cluster.stack.kill, victim)
            await asyncio.sleep(OUTAGE_S)
            await asyncio.to_thread(cluster.stack.start, victim)
        phases[victim] = (began, time.time())
        await asyncio.sleep(RECOVERY_S)
    load.stop()


@pytest.mark.slow
def test_whatever_is_killed_every_acknowledged_event_is_kept_once_and_the_feed_goes_on(cluster):
    viewers = [f"u{number}" for number in range(40)]
    rng = random.Random(1)
    table = cluster.catalogue()
    videos = rng.sample(table.video_ids, 200)
    load = SteadyLoad(cluster.replicas(), viewers, videos, table.authors.words[1:40], cluster.bearer)
    phases = {}

    async def everything():
        await asyncio.gather(load.run(), _outages(cluster, load, phases))

    asyncio.run(everything())
    found = asyncio.run(audit(cluster, load.record, viewers))
    _tell(load.record, found, phases)
    assert not load.record.rejected
    assert len(load.record.acknowledged) > 500
    assert found.lost == [] and found.stored_twice == []
    assert found.wrong_rows == [] and found.wrong_totals == [] and found.wrong_relations == []
    assert found.shown_though_blocked == []
    assert set(KINDS) == {event["kind"] for _, event in load.record.sent.values()}
    for victim, phase in phases.items():
        answered = _of_the_living(load.record, victim, phase)
        assert answered, victim
        failed = [a for a in answered if a.status != 200]
        assert failed == [], victim
        silent = [a for a in answered if not a.videos and not {"safety_unknown", "nothing_left"} & set(a.degraded)]
        assert silent == [], victim
    assert set(load.record.retried) <= {200}  # with one retry every request was answered, the killed replica's own too
    everywhere = [a for victim, phase in phases.items() for a in _of_the_living(load.record, victim, phase)]
    late = [a for a in everywhere if a.seconds > DEADLINE_S + SLACK_S * a.crowd]
    assert len(late) <= len(everywhere) // 100, [(round(a.seconds, 2), round(a.crowd, 1), a.degraded) for a in late]


def _of_the_living(record, victim, phase):
    """What was asked of replicas that lived, while a victim was away."""
    return [a for a in record.between(*phase) if not (victim == "replica" and a.replica == "replica-1")]


def _tell(record, found, phases):
    """The figures, on the terminal with -s and in the report of a failure."""
    print(
        f"\nsent {len(record.sent):,}  acknowledged {len(record.acknowledged):,}  stored {found.stored:,}"
        f"  duplicates {found.duplicates_on_log:,} on the log, {len(found.stored_twice)} in history"
        f"  lost {len(found.lost)}   (sent again {record.resent:,}; refusals {dict(record.refusals)})"
    )
    print("  ".join(f"{kind} {n:,}" for kind, n in Counter(e["kind"] for _, e in record.sent.values()).items()))
    print(f"asked again of a sibling: {len(record.retried)}, {sum(status != 200 for status in record.retried)} in vain")
    _tell_rungs(record.feeds)
    for victim, (start, end) in phases.items():
        others = _of_the_living(record, victim, (start, end))
        own = [a for a in record.between(start, end) if a not in others]
        times = sorted(a.seconds for a in others) or [0.0]
        p99 = quantiles(times, n=100)[98] if len(times) > 1 else times[0]
        left_out = Counter(part for a in others for part in a.degraded)
        crowd = max(a.crowd for a in others)
        print(
            f"{victim:>10} away {end - start:4.1f} s: {len(others)} feeds, {_failed(others)} errors,"
            f" p50 {times[len(times) // 2] * 1e3:.0f} ms, p99 {p99 * 1e3:.0f} ms (crowd {crowd:.1f}),"
            f" degraded {dict(left_out)}" + (f"; its own: {len(own)} requests, {_failed(own)} failed" if own else "")
        )


def _tell_rungs(feeds):
    """The time that pages took, by the rung of the ladder that they came from."""
    rungs = {}
    for asked in feeds:
        if asked.status == 200:
            rungs.setdefault(next((name for name in RUNGS if name in asked.degraded), "full"), []).append(asked.seconds)
    for name, seconds in rungs.items():
        p50, most = median(seconds) * 1e3, max(seconds) * 1e3
        print(f"{name:>10} rung: {len(seconds):,} pages, p50 {p50:.0f} ms, longest {most:.0f} ms")


def _failed(asked):
    return sum(a.status != 200 for a in asked)
