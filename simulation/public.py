"""What the platform may know: public columns of users and videos, and the wide rows of impressions."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped, unused-ignore]
from numpy.typing import NDArray

from simulation.ids import CREATOR, LANGUAGE, REGION, TOPIC, VIDEO, VIEWER, bits, name_all
from simulation.law import EMBEDDING_DIMENSIONS, LANGUAGES
from simulation.videos import Videos
from simulation.viewers import AGE_BANDS, DEVICES, Viewers

SURFACE = "for_you"


@dataclass(frozen=True, slots=True)
class PublicUser:
    """A viewer as the platform sees one; the columns of users.parquet."""

    viewer_id: str
    region: str
    language: str
    languages: list[str]
    device: str
    age_band: str
    signup_ms: int
    chosen_topics: list[str]


@dataclass(frozen=True, slots=True)
class PublicVideo:
    """A video as the platform sees one; the columns of videos.parquet."""

    video_id: str
    author_id: str
    topic: str
    length_ms: int
    thumbnail_cluster: int
    language: str
    region: str
    upload_ms: int
    content_embedding: list[float]


@dataclass(frozen=True, slots=True)
class WideRow:
    """One impression with what came of it; the columns of impressions.parquet."""

    event_id: str
    session_id: str
    viewer_id: str
    video_id: str
    position: int
    surface: str
    source: str
    propensity: float
    time_ms: int
    watch_end_ms: int
    ingested_ms: int
    play_ms: int
    length_ms: int
    like: bool
    comment: bool
    share: bool
    save: bool
    follow: bool
    not_interested: bool
    hide_author: bool
    report: bool


class Policy(Protocol):
    """Whatever chooses videos; the judge calls it in the order of the simulated clock."""

    def page(self, viewer_id: str, now_ms: int, limit: int) -> list[str]:
        """Ids of up to `limit` videos, best first, none that the viewer has seen."""

    def feedback(self, viewer_id: str, rows: list[WideRow]) -> None:
        """What happened on a page, once the platform knows it."""

    def end_of_day(self, day: int) -> None:
        """Midnight after a judged day (first day 0): time to train."""

    def arrivals(self, users: list[PublicUser], videos: list[PublicVideo]) -> None:
        """Users and videos that came in the last hour; hours without any are left out."""


def users_table(viewers: Viewers, rows: NDArray[np.int64]) -> pa.Table:
    """Public columns of some viewers."""
    topics = int(viewers.chosen_topics.max(initial=0)).bit_length()
    return pa.table(
        {
            "viewer_id": name_all(VIEWER, rows),
            "region": name_all(REGION, viewers.region[rows]),
            "language": name_all(LANGUAGE, viewers.language[rows]),
            "languages": pa.array(
                [bits(f"{LANGUAGE}{{}}".format, int(mask), LANGUAGES) for mask in viewers.spoken[rows]],
                pa.list_(pa.string()),
            ),
            "device": pa.array(np.array(DEVICES)[viewers.device[rows]].tolist(), pa.string()),
            "age_band": pa.array(np.array(AGE_BANDS)[viewers.age_band[rows]].tolist(), pa.string()),
            "signup_ms": pa.array(viewers.signup_ms[rows]),
            "chosen_topics": pa.array(
                [bits(f"{TOPIC}{{}}".format, int(mask), topics) for mask in viewers.chosen_topics[rows]],
                pa.list_(pa.string()),
            ),
        }
    )


def videos_table(videos: Videos, rows: NDArray[np.int64]) -> pa.Table:
    """Public columns of some videos."""
    flat = pa.array(videos.embedding[rows].ravel())
    return pa.table(
        {
            "video_id": name_all(VIDEO, rows),
            "author_id": name_all(CREATOR, videos.author[rows]),
            "topic": name_all(TOPIC, videos.public_topic[rows]),
            "length_ms": pa.array(videos.length_ms[rows]),
            "thumbnail_cluster": pa.array(videos.thumbnail_cluster[rows].astype(np.int32)),
            "language": name_all(LANGUAGE, videos.language[rows]),
            "region": name_all(REGION, videos.region[rows]),
            "upload_ms": pa.array(videos.upload_ms[rows]),
            "content_embedding": pa.FixedSizeListArray.from_arrays(flat, EMBEDDING_DIMENSIONS),
        }
    )


def public_users(viewers: Viewers, low: int, high: int) -> list[PublicUser]:
    """Viewers low to high as the platform sees them."""
    return [PublicUser(**row) for row in users_table(viewers, np.arange(low, high)).to_pylist()]


def public_videos(videos: Videos, low: int, high: int) -> list[PublicVideo]:
    """Videos low to high as the platform sees them."""
    return [PublicVideo(**row) for row in videos_table(videos, np.arange(low, high)).to_pylist()]
