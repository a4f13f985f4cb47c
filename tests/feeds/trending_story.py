"""Random histories for Trending: late events, repeated ones, likes taken back, viewers of every standing."""

import numpy as np

from core.events import Impression, Like, Share, Unlike, VideoPublished, VideoRemoved, VideoUpdated, Watch
from core.ports import Record
from core.video_table import VideoTable

HOUR, DAY = 3_600_000, 86_400_000
START_MS = 1_790_000_000_000
REGIONS, TOPICS = ("DE", "US", ""), ("dance", "pets")


def story(seed, count=900, viewers=12, videos=8, days=12):
    """Events in the order of a log: publications, then what viewers did, some told hours late, some told twice."""
    rng = np.random.default_rng(seed)
    uploads = START_MS + days * DAY - rng.integers(0, 60 * HOUR, videos)
    told = [published(f"v{n}", int(uploads[n]), TOPICS[n % 2]) for n in range(videos)]
    times = np.concatenate([rng.integers(0, days * DAY, count // 2), days * DAY - rng.integers(0, DAY, count // 2)])
    for number, at in enumerate(np.sort(times).tolist()):
        told.append(_act(rng, number, START_MS + at, f"u{rng.integers(viewers)}", f"v{rng.integers(videos)}"))
        if rng.random() < 0.1:
            told.append(told[int(rng.integers(videos, len(told)))])  # the same event again
    told.append(VideoRemoved(event_id="gone", viewer_id="a0", time_ms=START_MS, video_id="v0"))
    told.append(VideoUpdated(event_id="hidden", viewer_id="a1", time_ms=START_MS, video_id="v1", visibility="private"))
    told.append(VideoUpdated(event_id="moved", viewer_id="a2", time_ms=START_MS, video_id="v2", topic="pets"))
    return told, START_MS + days * DAY + 1_234_567


def _act(rng, number, at, viewer, video):
    late = int(rng.integers(0, 3 * DAY)) if rng.random() < 0.3 else int(rng.integers(-600_000, 60_000))
    fields = {
        "event_id": f"e{number}", "viewer_id": viewer, "time_ms": at - late, "ingested_ms": at, "video_id": video,
        "viewer_region": REGIONS[int(viewer[1:]) % 3],
    }  # fmt: skip
    draw = rng.random()
    if draw < 0.45:
        return Impression(**fields)
    if draw < 0.75:
        return Watch(**fields, play_ms=1, length_ms=2)
    return (Like if draw < 0.84 else Unlike if draw < 0.92 else Share)(**fields)


def published(video, upload_ms, topic="dance"):
    return VideoPublished(
        event_id=f"p-{video}", viewer_id=f"a-{video}", time_ms=upload_ms, video_id=video, author_id=f"a-{video}",
        length_ms=9_000, upload_ms=upload_ms, topic=topic,
    )  # fmt: skip


def records(events):
    return [Record(offset, event) for offset, event in enumerate(events, start=1)]


def catalogue(events):
    """The table that these events make."""
    table = VideoTable()
    does = {VideoPublished: table.publish, VideoUpdated: table.update, VideoRemoved: table.remove}
    for event in events:
        if type(event) in does:
            does[type(event)](event)
    return table
