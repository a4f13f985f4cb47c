"""Compares what a cluster has kept with what its log holds and what its clients were told.

The recount is written for itself: plain dictionaries and floats over the raw log, nothing of the stream's code.
"""

import asyncio
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field

from core.clock import system_clock
from core.events import (
    CATALOGUE_EVENTS,
    Block,
    Comment,
    Follow,
    HideAuthor,
    Impression,
    Like,
    NotInterested,
    Report,
    Share,
    Unblock,
    Unfollow,
    Unlike,
    Watch,
    decode,
)
from core.topics import COUNTS, USER_INTERACTION
from features.layout import (
    ACTIONS,
    COUNTS_DTYPE,
    STEPS,
    TOTALS,
    UNIT,
    VIDEO_HALF_LIVES,
    VIEWER_DTYPE,
    VIEWER_HALF_LIVES,
)
from features.packed import record_of
from foryou.cluster import open_cluster

TOLERANCE = 0.01  # of a decayed sum: fixed point rounds each event and each decay
COUNTED = (
    ("impressions", Impression),
    ("watches", Watch),
    ("comments", Comment),
    ("negatives", NotInterested | Report | HideAuthor | Block),
)
SETTLED_S = 15.0  # after which a block holds for every replica, whatever is away


@dataclass
class Found:
    """What an audit found."""

    stored: int = 0
    duplicates_on_log: int = 0
    lost: list = field(default_factory=list)
    stored_twice: list = field(default_factory=list)
    wrong_rows: list = field(default_factory=list)
    wrong_totals: list = field(default_factory=list)
    wrong_relations: list = field(default_factory=list)
    shown_though_blocked: list = field(default_factory=list)


async def audit(running, record, viewers):
    """Wait until everything is applied, then compare."""
    cluster = await open_cluster(running.configured(), system_clock)
    try:
        await cluster.catalogue.load()
        events, repeats = await _log(cluster)
        await _until_applied(cluster, events)
        found = Found(duplicates_on_log=repeats)
        await _history(cluster, record, viewers, found)
        await _rows(cluster, events, found)
        await _social(cluster, events, found)
        await _relations(cluster, events, viewers, found)
        found.shown_though_blocked = list(_shown_though_blocked(record))
        return found
    finally:
        await cluster.close()


async def _log(cluster):
    """Every event once, by its first place, in partition order; and how many came again."""
    first, repeats = {}, 0
    for partition, bounds in enumerate(await cluster.messages.bounds(USER_INTERACTION)):
        after = bounds.first - 1
        while after < bounds.last:
            page = await cluster.messages.read(USER_INTERACTION, partition, after, 5_000)
            for entry in page:
                event = decode(entry.value)
                assert not isinstance(event, CATALOGUE_EVENTS)
                key = (event.viewer_id, event.event_id)
                repeats += key in first
                first.setdefault(key, event)
            after = page[-1].offset
    return list(first.values()), repeats


async def _until_applied(cluster, events, within_s=90):
    """Until the viewers' and the counters' marks reach the ends of their logs, and history has the last event."""
    until = time.monotonic() + within_s
    for topic, role in ((USER_INTERACTION, "viewer"), (COUNTS, "counter")):
        while True:
            ends = [bounds.last for bounds in await cluster.messages.bounds(topic)]
            states = [_state_offset(cluster, f"{role}-{number}") for number in range(len(ends))]
            if all(state >= end for state, end in zip(states, ends, strict=True)):
                break
            assert time.monotonic() < until, f"{role}: applied {states} of {ends}"
            await asyncio.sleep(0.3)
    await asyncio.sleep(3)  # the groups of the stores have no mark to ask; their lag is a poll


def _state_offset(cluster, name):
    from backends.sqlite.partition_state import SqlitePartitionStates

    return SqlitePartitionStates(cluster.settings.home / "work").offset(name)


async def _history(cluster, record, viewers, found):
    """Each acknowledged event is in its viewer's history, once."""
    stored = Counter()
    for viewer in viewers:
        stored.update(row.event_id for row in await cluster.history.interactions(viewer))
    ours = {event_id: count for event_id, count in stored.items() if event_id in record.sent}
    found.stored = len(ours)
    found.stored_twice = [event_id for event_id, count in ours.items() if count > 1]
    found.lost = [event_id for event_id in record.acknowledged if event_id not in ours]


async def _rows(cluster, events, found):
    """Decayed counters and totals of videos, authors and viewers, beside sums in float64."""
    table = cluster.catalogue.table
    videos, authors, viewers = defaultdict(list), defaultdict(list), defaultdict(list)
    for event in events:
        video = table.row(getattr(event, "video_id", ""))
        if isinstance(event, Watch) and video < 0:
            continue  # nothing is known of what was watched: it counts nowhere
        named = getattr(event, "author_id", "")
        author = table.authors.code(named) if named else int(table.author[video]) if video >= 0 else 0
        viewers[event.viewer_id].append(event)
        if author > 0:
            authors[table.authors.words[author]].append(event)
        if video >= 0:
            videos[event.video_id].append(event)
    for entity, dtype, groups, halves in (
        ("video", COUNTS_DTYPE, videos, VIDEO_HALF_LIVES),
        ("author", COUNTS_DTYPE, authors, VIDEO_HALF_LIVES),
        ("viewer", VIEWER_DTYPE, viewers, VIEWER_HALF_LIVES),
    ):
        names = sorted(groups)
        for name, raw in zip(names, await cluster.features.read(entity, names), strict=True):
            if raw is None:
                found.wrong_rows.append((entity, name, "no row"))
                continue
            row = record_of(raw, dtype)[0]
            found.wrong_rows += [(entity, name, *fault) for fault in _faults(row, groups[name], halves)]
            if entity == "video":
                found.wrong_totals += _wrong_totals(row, name, groups[name])


def _faults(row, events, halves):
    for number, (half, length_ms) in enumerate(halves.items()):
        quantum = length_ms // STEPS
        for action, kind in COUNTED:
            ages = [row["steps"][number] - event.time_ms // quantum for event in events if isinstance(event, kind)]
            wanted = sum(2.0 ** (-max(age, 0) / STEPS) for age in ages)
            counted = row["counts"][number][ACTIONS.index(action)] / UNIT
            if abs(counted - wanted) > TOLERANCE * max(wanted, 1.0):
                yield half, action, counted, wanted


def _wrong_totals(row, name, events):
    for total, kind in (("views", Watch), ("comments", Comment), ("shares", Share)):
        counted, wanted = int(row["totals"][TOTALS.index(total)]), sum(isinstance(event, kind) for event in events)
        if counted != wanted:
            yield name, total, counted, wanted


async def _social(cluster, events, found):
    """PostgreSQL's counters beside the last words of the log."""
    from backends.postgres.social import PostgresTotals

    follows, likes = _standing(events, Follow, Unfollow, "author_id"), _standing(events, Like, Unlike, "video_id")
    followers, following, liked = Counter(), Counter(), Counter()
    for (viewer, author), stands in follows.items():
        followers[author] += stands
        following[viewer] += stands
    for (_, video), stands in likes.items():
        liked[video] += stands
    totals = PostgresTotals(cluster.postgres)
    names = sorted(followers.keys() | following.keys())
    for name, total in zip(names, await totals.users(names), strict=True):
        if (total.followers, total.following) != (followers[name], following[name]):
            found.wrong_totals.append((name, total, followers[name], following[name]))
    names = sorted(liked)
    for name, total in zip(names, await totals.videos(names), strict=True):
        if total.likes != liked[name]:
            found.wrong_totals.append((name, "likes", total.likes, liked[name]))


async def _relations(cluster, events, viewers, found):
    """Whom each viewer blocks and hides, beside the last words of the log."""
    from backends.postgres.tables import PostgresTables

    blocks, hides = (
        _standing(events, Block, Unblock, "author_id"),
        _standing(events, HideAuthor, HideAuthor, "author_id"),
    )
    tables = PostgresTables(cluster.postgres)
    for viewer in viewers:
        relations = await tables.relations(viewer)
        for kept, words in ((relations.blocked, blocks), (relations.hidden, hides)):
            wanted = sorted(author for (who, author), stands in words.items() if who == viewer and stands)
            if sorted(kept) != wanted:
                found.wrong_relations.append((viewer, sorted(kept), wanted))


def _shown_though_blocked(record):
    """Pages with an author whom their viewer had blocked or hidden for some time, and not taken it back."""
    banned, free = defaultdict(list), defaultdict(list)
    for event_id, at in record.acknowledged_at.items():
        viewer, event = record.sent[event_id]
        if event["kind"] in ("block", "hide_author"):
            banned[viewer, event["author_id"]].append((at, event["kind"]))
        elif event["kind"] == "unblock":
            free[viewer, event["author_id"]].append(at)
    for asked in record.feeds:
        for author in asked.authors:
            kinds = [kind for at, kind in banned[asked.viewer, author] if at < asked.at - SETTLED_S]
            if "hide_author" in kinds or ("block" in kinds and not free[asked.viewer, author]):
                yield asked.viewer, author, asked.replica, asked.at


def _standing(events, on, off, other):
    """Whether each pair stands: the last word by event time, then by place."""
    words = {}
    for event in sorted((e for e in events if isinstance(e, on | off)), key=lambda e: e.time_ms):
        words[event.viewer_id, getattr(event, other)] = isinstance(event, on)
    return words
