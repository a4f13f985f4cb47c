"""A tiny random log for feature tests: events in offset order over a small catalogue."""

import numpy as np

from core.events import AnyEvent, Comment, Follow, Impression, Like, NotInterested, Unlike, VideoPublished, Watch
from core.ports import Record
from core.video_table import VideoTable

START_MS = 1_704_067_200_000


def publications(videos: int = 40, authors: int = 6, seed: int = 0) -> list[VideoPublished]:
    """Videos with topics, clusters, languages and 32-d content embeddings."""
    rng = np.random.default_rng(seed)
    return [
        VideoPublished(
            event_id=f"p{number}",
            viewer_id=f"a{number % authors}",
            time_ms=START_MS - 1000,
            video_id=f"v{number}",
            author_id=f"a{number % authors}",
            topic=f"t{number % 5}",
            language=f"l{number % 2}",
            region="r0",
            length_ms=int(rng.integers(5_000, 90_000)),
            upload_ms=START_MS - 3_600_000 * number,
            thumbnail_cluster=f"c{number % 4}",
            content_embedding=tuple(rng.normal(size=32).round(3).tolist()),
        )
        for number in range(videos)
    ]


def catalogue(videos: int = 40, authors: int = 6, seed: int = 0) -> VideoTable:
    """The publications as a table."""
    table = VideoTable()
    for event in publications(videos, authors, seed):
        table.publish(event)
    return table


def history(table: VideoTable, impressions: int = 400, viewers: int = 7, seed: int = 1) -> list[Record]:
    """Impressions with watches and reactions, in time order and in offset order."""
    rng, events = np.random.default_rng(seed), list[AnyEvent]()
    time_ms = START_MS
    for number in range(impressions):
        time_ms += int(rng.integers(1_000, 4_000_000))
        video = int(rng.integers(len(table)))
        common = {"viewer_id": f"u{rng.integers(viewers)}", "video_id": f"v{video}"}
        length = int(table.length_ms[video])
        play = int(min(rng.exponential(0.6), 4) * length)
        end = time_ms + min(play, 60_000) + 1
        events.append(Impression(event_id=f"i{number}", time_ms=time_ms, position=number % 20, **common))
        events.append(Watch(event_id=f"w{number}", time_ms=end, play_ms=play, length_ms=length, **common))
        events += _reactions(rng, number, end + 1, common, f"a{video % 6}")
        time_ms = max(time_ms, end + 1)
    ordered = sorted(events, key=lambda e: (e.time_ms, e.event_id))
    return [Record(offset, event) for offset, event in enumerate(ordered, 1)]


def _reactions(rng: np.random.Generator, number: int, at: int, common: dict[str, str], author: str) -> list[AnyEvent]:
    chosen: list[AnyEvent] = []
    draw = rng.random(5)
    if draw[0] < 0.2:
        chosen.append(Like(event_id=f"l{number}", time_ms=at, **common))
    if draw[1] < 0.05:
        chosen.append(Unlike(event_id=f"n{number}", time_ms=at + 5, **common))
    if draw[2] < 0.1:
        chosen.append(Comment(event_id=f"c{number}", time_ms=at + 1, **common))
    if draw[3] < 0.1:
        chosen.append(Follow(event_id=f"f{number}", time_ms=at + 2, author_id=author, **common))
    if draw[4] < 0.05:
        chosen.append(NotInterested(event_id=f"x{number}", time_ms=at + 3, **common))
    return chosen
