"""The topics: their keys, what they carry, how many partitions they have, how long they keep it."""

from dataclasses import dataclass
from typing import Final, Literal

import msgspec

from core.errors import SchemaMismatch

DAY_MS: Final = 86_400_000
WEEK_MS: Final = 7 * DAY_MS
FOREVER: Final = -1
DEAD_LETTER_RETENTION_MS: Final = 28 * DAY_MS  # someone has to find the time to look at them
REPLICATION: Final = {"spec": 3, "local": 1}
MESSAGE_SCHEMA: Final = 1

Profile = Literal["spec", "local"]


class VideoUploaded(msgspec.Struct, frozen=True, kw_only=True, tag="video_uploaded", tag_field="kind"):
    """A creator's file arrived whole and waits for processing."""

    video_id: str
    author_id: str
    time_ms: int
    blob: str
    size_bytes: int
    schema: int = MESSAGE_SCHEMA


class FeedUpdate(msgspec.Struct, frozen=True, kw_only=True, tag="feed_update", tag_field="kind"):
    """A video enters (or, removed, leaves) a recipient's Following feed."""

    recipient_id: str
    video_id: str
    author_id: str
    time_ms: int
    removed: bool = False
    schema: int = MESSAGE_SCHEMA


class NotificationTrigger(msgspec.Struct, frozen=True, kw_only=True, tag="notification_trigger", tag_field="kind"):
    """Something happened that a recipient may want to be told."""

    recipient_id: str
    trigger: str
    actor_id: str
    time_ms: int
    video_id: str = ""
    schema: int = MESSAGE_SCHEMA


@dataclass(frozen=True, slots=True)
class Topic:
    """One topic; `partitions` by profile. A compacted one keeps the last message of every key for ever."""

    name: str
    key: str
    carries: str
    partitions: dict[Profile, int]
    retention_ms: int = WEEK_MS
    compacted: bool = False

    @property
    def dead_letters(self) -> str:
        """The topic of its messages that could not be used."""
        return dead_letters(self.name)


def dead_letters(topic: str) -> str:
    """The topic of a topic's messages that could not be used; it has one partition, whatever the topic has."""
    return f"{topic}.dead"


VIDEO_UPLOADED: Final = "video.uploaded"
VIDEO_PROCESSED: Final = "video.processed"
USER_INTERACTION: Final = "user.interaction"
FEED_UPDATE: Final = "feed.update"
NOTIFICATION_TRIGGER: Final = "notification.trigger"
CATALOGUE: Final = "foryou.catalogue"
COUNTS: Final = "foryou.counts"
SLATES: Final = "foryou.slate"
VIDEO_STATE: Final = "video.state"

TOPICS: Final = {
    topic.name: topic
    for topic in (
        Topic(VIDEO_UPLOADED, "video", "VideoUploaded", {"spec": 200, "local": 4}),
        Topic(VIDEO_PROCESSED, "video", "video_published, video_updated, video_removed", {"spec": 200, "local": 4}),
        Topic(USER_INTERACTION, "viewer", "every event of a viewer", {"spec": 100, "local": 4}),
        Topic(FEED_UPDATE, "recipient viewer", "FeedUpdate", {"spec": 100, "local": 4}),
        Topic(NOTIFICATION_TRIGGER, "recipient", "NotificationTrigger", {"spec": 50, "local": 4}),
        # The catalogue in the one order that gives rows and codes to everyone.
        Topic(CATALOGUE, "video", "CatalogueEntry", {"spec": 1, "local": 1}, FOREVER),
        # What each micro-batch of interactions adds to the counters of videos, authors and trends.
        Topic(COUNTS, "counter partition", "CountsBatch", {"spec": 100, "local": 4}),
        Topic(SLATES, "viewer", "SlateMessage", {"spec": 100, "local": 4}),
        Topic(VIDEO_STATE, "entity:id", "CounterRow", {"spec": 100, "local": 4}, FOREVER, True),
    )
}


def partitions(profile: Profile) -> dict[str, int]:
    """How many partitions each topic has, the dead-letter topics among them."""
    counts = {topic.name: topic.partitions[profile] for topic in TOPICS.values()}
    return counts | {topic.dead_letters: 1 for topic in TOPICS.values()}


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(VideoUploaded | FeedUpdate | NotificationTrigger)


def encode_message(message: VideoUploaded | FeedUpdate | NotificationTrigger) -> bytes:
    """One message as MessagePack."""
    return _encoder.encode(message)


def decode_message(raw: bytes) -> VideoUploaded | FeedUpdate | NotificationTrigger:
    """The message in `raw`; SchemaMismatch when a newer version or another type wrote it."""
    try:
        message: VideoUploaded | FeedUpdate | NotificationTrigger = _decoder.decode(raw)
    except msgspec.DecodeError as error:
        raise SchemaMismatch(f"A message cannot be read ({error}); was it written by another version?") from error
    if message.schema > MESSAGE_SCHEMA:
        raise SchemaMismatch(
            f"A message has schema {message.schema}, this build reads up to {MESSAGE_SCHEMA}; upgrade."
        )
    return message
