"""A tiny world with known taste: each viewer likes one topic and watches little else."""

from dataclasses import dataclass

import numpy as np

from candidate_gen.interactions import CLICK, LONG_VIEW, SKIP, Interactions, interactions_of
from core.events import VideoPublished
from core.query import Query
from core.video_table import VideoTable

START_MS = 1_700_000_000_000
HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
PROFILE_WORDS = (("north", "south"), ("phone", "tablet", "web"))

STATE = np.dtype(
    [
        ("history_len", np.int64),
        ("history_video", np.int32, (50,)),
        ("history_signal", np.uint8, (50,)),
        ("history_time_ms", np.int64, (50,)),
    ]
)


@dataclass(frozen=True)
class World:
    table: VideoTable
    watches: Interactions
    taste: np.ndarray
    now_ms: int


def add_video(table, row, topic, upload_ms, author=None, region="north", embedding=()):
    return table.publish(
        VideoPublished(
            event_id=f"e{row}",
            viewer_id=f"a{row}",
            time_ms=upload_ms,
            video_id=f"v{row}",
            author_id=author or f"a{row % 40}",
            length_ms=5000 + 1000 * (row % 60),
            upload_ms=upload_ms,
            topic=f"t{topic}",
            language="en",
            region=region,
            thumbnail_cluster=f"c{row % 3}",
            content_embedding=embedding,
        )
    )


def make_table(videos, topics, content_dim, rng):
    table = VideoTable()
    centres = rng.normal(size=(topics, max(content_dim, 1)))
    for row in range(videos):
        topic = row % topics
        vector = tuple(centres[topic] + 0.1 * rng.normal(size=content_dim)) if content_dim else ()
        region = ("north", "south")[row % 2]
        add_video(table, row, topic, START_MS - (row % 7) * DAY_MS, region=region, embedding=vector)
    return table


def make_world(viewers=300, videos=240, topics=8, watches=24, content_dim=0, seed=0) -> World:
    rng = np.random.default_rng(seed)
    table = make_table(videos, topics, content_dim, rng)
    taste = rng.integers(0, topics, viewers)
    viewer = np.repeat(np.arange(viewers), watches)
    popular = rng.zipf(1.6, viewers * watches) % (videos // topics)
    on_taste = rng.random(len(viewer)) < 0.6
    topic = np.where(on_taste, taste[viewer], rng.integers(0, topics, len(viewer)))
    video = popular * topics + topic
    signal = np.where(topic == taste[viewer], LONG_VIEW | CLICK, SKIP)
    time = START_MS + np.sort(rng.integers(0, 3 * DAY_MS, (viewers, watches)), axis=1).ravel()
    profile = np.stack([1 + taste % 2, np.zeros(viewers, int)], axis=1)
    watched = interactions_of(viewer, video, time, signal, profile, (3, 4))
    return World(table, watched, taste, START_MS + 3 * DAY_MS)


def state_of(video, signal, time_ms):
    state = np.zeros(1, STATE)
    state["history_len"] = len(video)
    for name, values in (("video", video), ("signal", signal), ("time_ms", time_ms)):
        state[f"history_{name}"][0, : len(values)] = values
    return state


def query_of(world, viewer=None, **parts):
    state = None
    if viewer is not None:
        span = slice(*world.watches.indptr[viewer : viewer + 2])
        w = world.watches
        state = state_of(w.video[span], w.signal[span], w.time_ms[span])
    base = Query("v", "for_you", "s", world.now_ms, 0, 20, 0, viewer_state=state)
    return base.with_parts(**parts)
