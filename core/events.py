"""Events: immutable facts about what viewers and creators did, as versioned structs.

Every event has an `event_id` (idempotency), an event time `time_ms` and an ingestion time `ingested_ms`
(both Unix milliseconds; 0 = not yet ingested) and the `schema` version under which it was written.
"""

from collections.abc import Sequence

import msgspec

from core.errors import InputError, SchemaMismatch

SCHEMA_VERSION = 1
MAX_ID_CHARS = 128
_IDS = ("event_id", "viewer_id", "video_id", "author_id")


class Event(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", omit_defaults=True, gc=False):
    """What every event carries; `viewer_id` is who acted (for video_* events: the author).

    Intake stamps the viewer's region and how far it had read the catalogue, never a client: with them an event
    counts the same whenever, and wherever, it is applied.
    """

    event_id: str
    viewer_id: str
    time_ms: int
    ingested_ms: int = 0
    schema: int = SCHEMA_VERSION
    viewer_region: str = ""
    catalogue_offset: int = 0


class VideoEvent(Event, frozen=True, kw_only=True):
    """An event about one video, inside a slate where there was one."""

    video_id: str
    slate_id: str = ""


class AuthorEvent(Event, frozen=True, kw_only=True):
    """An event about one author."""

    author_id: str
    slate_id: str = ""


class Impression(VideoEvent, frozen=True, kw_only=True, tag="impression"):
    """A video was actually shown; `propensity` is the logged probability where known."""

    position: int = 0
    surface: str = "for_you"
    session_id: str = ""
    propensity: float | None = None


class Watch(VideoEvent, frozen=True, kw_only=True, tag="watch"):
    """The end of a watch: how long it played; labels override the derived ones where a source has its own."""

    play_ms: int
    length_ms: int
    long_view: bool | None = None
    click: bool | None = None


class Like(VideoEvent, frozen=True, kw_only=True, tag="like"):
    """The viewer liked the video."""


class Unlike(VideoEvent, frozen=True, kw_only=True, tag="unlike"):
    """The viewer took a like back."""


class Share(VideoEvent, frozen=True, kw_only=True, tag="share"):
    """The viewer shared the video."""


class Comment(VideoEvent, frozen=True, kw_only=True, tag="comment"):
    """The viewer commented."""


class Save(VideoEvent, frozen=True, kw_only=True, tag="save"):
    """The viewer saved the video."""


class Unsave(VideoEvent, frozen=True, kw_only=True, tag="unsave"):
    """The viewer took a save back."""


class NotInterested(VideoEvent, frozen=True, kw_only=True, tag="not_interested"):
    """The viewer wants fewer videos like this one."""


class Report(VideoEvent, frozen=True, kw_only=True, tag="report"):
    """The viewer reported the video."""

    reason: str = ""


class Follow(AuthorEvent, frozen=True, kw_only=True, tag="follow"):
    """The viewer follows the author; `video_id` is the video it happened on, where known."""

    video_id: str = ""


class Unfollow(AuthorEvent, frozen=True, kw_only=True, tag="unfollow"):
    """The viewer no longer follows the author."""


class HideAuthor(AuthorEvent, frozen=True, kw_only=True, tag="hide_author"):
    """The viewer wants nothing from this author in the feed."""

    video_id: str = ""


class UnhideAuthor(AuthorEvent, frozen=True, kw_only=True, tag="unhide_author"):
    """The viewer takes hiding an author back."""


class Block(AuthorEvent, frozen=True, kw_only=True, tag="block"):
    """The viewer blocks the author, in both directions."""


class Unblock(AuthorEvent, frozen=True, kw_only=True, tag="unblock"):
    """The viewer takes a block back."""


class VideoPublished(Event, frozen=True, kw_only=True, tag="video_published"):
    """A video became available, with everything that is known of it. `visibility` is its author's word and
    `blocked_regions` the moderators': where it must not be shown ("*": nowhere); neither undoes the other."""

    video_id: str
    author_id: str
    length_ms: int
    upload_ms: int
    topic: str = ""
    language: str = ""
    region: str = ""
    title: str = ""
    description: str = ""
    hashtags: tuple[str, ...] = ()
    music_id: str = ""
    thumbnail_cluster: str = ""
    visibility: str = "public"
    content_embedding: tuple[float, ...] = ()
    blocked_regions: tuple[str, ...] = ()


class VideoUpdated(Event, frozen=True, kw_only=True, tag="video_updated"):
    """Some fields of a video changed; None means unchanged."""

    video_id: str
    topic: str | None = None
    title: str | None = None
    description: str | None = None
    hashtags: tuple[str, ...] | None = None
    visibility: str | None = None
    content_embedding: tuple[float, ...] | None = None
    blocked_regions: tuple[str, ...] | None = None


class VideoRemoved(Event, frozen=True, kw_only=True, tag="video_removed"):
    """The video must never be shown again."""

    video_id: str
    reason: str = ""


AnyEvent = (
    Impression
    | Watch
    | Like
    | Unlike
    | Share
    | Comment
    | Save
    | Unsave
    | NotInterested
    | Report
    | Follow
    | Unfollow
    | HideAuthor
    | UnhideAuthor
    | Block
    | Unblock
    | VideoPublished
    | VideoUpdated
    | VideoRemoved
)

VIEWER_EVENTS = (
    Impression,
    Watch,
    Like,
    Unlike,
    Share,
    Comment,
    Save,
    Unsave,
    NotInterested,
    Report,
    Follow,
    Unfollow,
    HideAuthor,
    UnhideAuthor,
    Block,
    Unblock,
)
CATALOGUE_EVENTS = (VideoPublished, VideoUpdated, VideoRemoved)

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(AnyEvent)


def kind_of(event: Event) -> str:
    """The event's tag, such as "like"."""
    return str(type(event).__struct_config__.tag)


def encode(event: Event) -> bytes:
    """One event as MessagePack."""
    return _encoder.encode(event)


def decode(raw: bytes) -> AnyEvent:
    """The event in `raw`; SchemaMismatch when a newer version or another type wrote it."""
    try:
        event: AnyEvent = _decoder.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise SchemaMismatch(f"A stored event cannot be read ({error}); was it written by another version?") from error
    if event.schema > SCHEMA_VERSION:
        raise SchemaMismatch(
            f"Event {event.event_id} has schema {event.schema} and this build reads up to {SCHEMA_VERSION}; upgrade."
        )
    return event


def check(events: Sequence[Event], now_ms: int, max_ahead_ms: int = 600_000) -> list[str]:
    """Per event "" or one sentence why it cannot be accepted (ids, times; not slates or lengths)."""
    return [_fault(event, now_ms, max_ahead_ms) for event in events]


def _fault(event: Event, now_ms: int, max_ahead_ms: int) -> str:
    if not 0 < len(event.event_id) <= MAX_ID_CHARS:
        return f"event_id must have 1 to {MAX_ID_CHARS} characters."
    if not 0 < len(event.viewer_id) <= MAX_ID_CHARS:
        return f"viewer_id must have 1 to {MAX_ID_CHARS} characters."
    if event.time_ms <= 0 or event.time_ms > now_ms + max_ahead_ms:
        return f"time_ms {event.time_ms} is not a time between 1970 and ten minutes from now; check the client's clock."
    for name in ("video_id", "author_id"):
        value = getattr(event, name, None)
        if value is not None and len(value) > MAX_ID_CHARS:
            return f"{name} has more than {MAX_ID_CHARS} characters."
    for name in _IDS:
        if "\0" in getattr(event, name, ""):
            return f"{name} holds a NUL character, which no store keeps; leave it out."
    return _watch_fault(event) if isinstance(event, Watch) else ""


def _watch_fault(event: Watch) -> str:
    if event.length_ms <= 0:
        return f"length_ms is {event.length_ms}; a video has a length above zero."
    if not 0 <= event.play_ms <= 5 * event.length_ms:
        return f"play_ms {event.play_ms} is outside 0 to 5 x length_ms ({5 * event.length_ms})."
    return ""


def require(event: Event, now_ms: int) -> None:
    """InputError with the reason when the event cannot be accepted."""
    fault = _fault(event, now_ms, 600_000)
    if fault:
        raise InputError(f"Event {event.event_id or '(no id)'}: {fault}")
