"""What happens on the small cluster: videos come, change and go; viewers act, some of it sent twice or late."""

import msgspec
import numpy as np

from core.events import VideoPublished, VideoRemoved, VideoUpdated, Watch
from features.stream.worker import registrar
from tests.features.stream.cluster import CONFIG, permuted
from tests.features.toy_state import every_kind
from tests.features.worldlet import START_MS, catalogue, publications

import asyncio  # isort: skip


async def register(cluster, *events):
    """Send catalogue events and have them registered; the catalogue's offset then."""
    await cluster.sink.append(events)
    loop = registrar(cluster.log, CONFIG)
    task = asyncio.create_task(loop.run())
    goal = sum(await cluster.ends("video.processed"))
    while True:
        row = cluster.log._database.row("SELECT sum(offset) FROM message_commits WHERE name = 'catalogue'", ())
        if row and (row[0] or 0) >= goal:
            break
        await asyncio.sleep(0.01)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    return (await cluster.ends("foryou.catalogue"))[0]


def changes(rng, number):
    """Updates of topics and embeddings (new words among them), a removal, a new video."""
    at = {"time_ms": START_MS, "viewer_id": "a0"}
    yield VideoUpdated(event_id=f"t{number}", video_id=f"v{rng.integers(40)}", topic=f"new{number}", **at)
    yield VideoUpdated(event_id=f"y{number}", video_id=f"v{rng.integers(40)}", topic="t1", title="x", **at)
    yield VideoUpdated(
        event_id=f"z{number}", video_id=f"v{rng.integers(40)}",
        content_embedding=tuple(rng.normal(size=32).round(3).tolist()), **at,
    )  # fmt: skip
    yield VideoUpdated(event_id=f"q{number}", video_id=f"v{rng.integers(40)}", title="only the title", **at)
    yield VideoRemoved(event_id=f"r{number}", video_id=f"v{rng.integers(40)}", **at)
    yield VideoPublished(
        event_id=f"n{number}", video_id=f"late{number}", author_id=f"newcomer{number}", region=f"r{number + 1}",
        topic=f"fresh{number}", length_ms=20_000, upload_ms=START_MS, **at,
    )  # fmt: skip


async def tell(cluster, seed, count=600, rounds=4):
    """Send everything: each round of events is stamped with one of the catalogue's offsets so far."""
    rng = np.random.default_rng(seed)
    stamps = [await register(cluster, *publications())]
    events = every_kind(catalogue(), count, seed, viewers=11)
    size = len(events) // rounds
    for number in range(rounds):
        part = [
            msgspec.structs.replace(
                event,
                catalogue_offset=int(rng.choice(stamps)),
                viewer_region=str(rng.choice(["", "r0", "r1", "r2"])),
                ingested_ms=event.time_ms,
            )
            for event in events[number * size : (number + 1) * size]
        ]
        if number:
            late = f"late{number - 1}"
            part += [
                Watch(event_id=f"lw{number}-{n}", viewer_id=f"u{n}", video_id=late, time_ms=START_MS + 10**6 * n,
                      play_ms=9_000, length_ms=20_000, catalogue_offset=stamp, ingested_ms=START_MS)
                for n, stamp in enumerate(stamps[:7])
            ]  # fmt: skip
        for start in range(0, len(part), 50):
            batch = part[start : start + 50]
            if rng.random() < 0.3:
                batch = permuted(batch, rng)
            await cluster.sink.append(batch)
            if rng.random() < 0.3:
                await cluster.sink.append(batch[: int(rng.integers(1, 50))])
        stamps.append(await register(cluster, *changes(rng, number)))
