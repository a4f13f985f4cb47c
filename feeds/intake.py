"""Event intake: what clients report is checked, made durable in one write, then applied."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import nullcontext
from typing import Any, Final, Literal

import msgspec
from pydantic import BaseModel, ConfigDict, Field

from core.clock import Clock
from core.errors import ForyouError, InputError
from core.events import (
    CATALOGUE_EVENTS,
    MAX_ID_CHARS,
    SCHEMA_VERSION,
    VIEWER_EVENTS,
    AnyEvent,
    Event,
    Impression,
    VideoEvent,
    VideoPublished,
    Watch,
    check,
    kind_of,
)
from core.ports import EventSink, Record, SlateStore
from core.slate import Slate

_log = logging.getLogger(__name__)

Status = Literal["accepted", "duplicate", "rejected"]
MAX_LENGTH_MS: Final = 2**31 - 1
_INT64: Final = 2**63


class IntakeConfig(BaseModel):
    """Bounds on what a client may report."""

    model_config = ConfigDict(frozen=True)

    max_ahead_ms: int = Field(600_000, ge=0, description="how far ahead of our clock an event may be, milliseconds")
    max_age_ms: int = Field(7 * 86_400_000, ge=1, description="events older than this are rejected, milliseconds")
    max_event_bytes: int = Field(65_536, ge=1, description="largest single event as JSON, bytes")
    slate_cache_ms: int = Field(60_000, ge=0, description="a slate is kept this long, milliseconds")
    slate_cache_size: int = Field(4_096, ge=1, description="most slates kept at once")


class Verdict(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What became of one reported event; `reason` is one sentence where it was rejected."""

    event_id: str
    status: Status
    reason: str = ""


async def _no_stamp(viewer_id: str) -> tuple[str, int]:
    """Events of a product that applies them itself need no stamp."""
    return "", 0


class EventIntake:
    """Accepts the events of one viewer at a time, and applies them in the order of the log.

    `video_length_ms` gives a video's length by id (None: unknown video, 0: unknown length).
    `apply` makes appended records visible to this process's next page. `stamp` gives a viewer's region and how far
    the catalogue has been read here, for events that others will apply; with `in_turn` False no request waits for
    another's append, which takes its whole time while the log is away.
    """

    def __init__(
        self,
        log: EventSink,
        slates: SlateStore,
        video_length_ms: Callable[[str], int | None],
        apply: Callable[[Sequence[Record]], Awaitable[None]],
        clock: Clock,
        config: IntakeConfig,
        stamp: Callable[[str], Awaitable[tuple[str, int]]] = _no_stamp,
        in_turn: bool = True,
    ) -> None:
        self._log = log
        self._slates = _SlateCache(slates, clock, config)
        self._video_length_ms = video_length_ms
        self._apply = apply
        self._clock = clock
        self._config = config
        self._in_order: asyncio.Lock | nullcontext[None] = asyncio.Lock() if in_turn else nullcontext()
        self._stamp = stamp

    async def accept(
        self, viewer_id: str, raw_events: Sequence[bytes | Event], *, operator: bool = False
    ) -> list[Verdict]:
        """One verdict per event, in order; bytes are one JSON object each.

        Only an operator may send video_* events. Raises Unavailable or StorageFull when the log
        or the slates do not answer; then nothing is acknowledged.
        """
        verdicts: list[Verdict | None] = [None] * len(raw_events)
        good: list[tuple[int, AnyEvent]] = []
        stamp = await self._stamp(viewer_id)
        for number, raw in enumerate(raw_events):
            try:
                event = _stamped(await self._admit(raw, viewer_id, operator), stamp)
            except InputError as error:
                verdicts[number] = Verdict(event_id=_id_of(raw), status="rejected", reason=error.sentence)
            else:
                good.append((number, event))
        statuses = await self._write([event for _, event in good])
        for (number, event), status in zip(good, statuses, strict=True):
            verdicts[number] = Verdict(event_id=event.event_id, status=status)
        return [verdict for verdict in verdicts if verdict is not None]

    async def _write(self, events: list[AnyEvent]) -> list[Status]:
        if not events:
            return []
        # The lock keeps `apply` in log order when two requests overlap.
        async with self._in_order:
            appended = await self._log.append(events)
            fresh = [
                Record(place.offset, event)
                for place, event in zip(appended, events, strict=True)
                if not place.duplicate
            ]
            await self._show(fresh)
        return ["duplicate" if place.duplicate else "accepted" for place in appended]

    async def _show(self, records: list[Record]) -> None:
        if not records:
            return
        try:
            await self._apply(records)
        except ForyouError as error:
            # The events are durable, so they are accepted whatever happens here: to refuse them now
            # would make the client send them again, as duplicates. The stream processor reads them
            # from the log and catches up; until then this viewer's pages do not know of them.
            _log.warning(
                "Events %d to %d are on the log and were not applied at once: %s",
                records[0].offset,
                records[-1].offset,
                error.sentence,
            )

    async def _admit(self, raw: bytes | Event, viewer_id: str, operator: bool) -> AnyEvent:
        """The event as it will be logged; InputError says why it cannot be."""
        event = self._decoded(raw, viewer_id)
        if not isinstance(event, VIEWER_EVENTS if not operator else Event):
            raise InputError(f"A viewer cannot send {kind_of(event)} events.")
        if event.viewer_id != viewer_id and not isinstance(event, CATALOGUE_EVENTS):
            raise InputError("viewer_id is not the viewer of the token.")
        event = msgspec.structs.replace(self._measured(event), ingested_ms=self._clock())
        self._check_age(event)
        fault = check([event], event.ingested_ms, self._config.max_ahead_ms)[0]
        if fault:
            raise InputError(fault)
        return await self._placed(event)

    def _decoded(self, raw: bytes | Event, viewer_id: str) -> AnyEvent:
        if isinstance(raw, Event):
            return raw  # type: ignore[return-value]
        if len(raw) > self._config.max_event_bytes:
            raise InputError(f"The event is larger than {self._config.max_event_bytes} bytes.")
        document = _json_object(raw)
        if document.get("viewer_id") is None:
            document["viewer_id"] = viewer_id
        try:
            event: AnyEvent = msgspec.convert(document, AnyEvent)
        except msgspec.ValidationError as error:
            raise InputError(f"The event does not have the fields of its kind: {error}.") from error
        return event

    def _check_age(self, event: AnyEvent) -> None:
        if not 1 <= event.schema <= SCHEMA_VERSION:
            raise InputError(f"schema {event.schema} is unknown; this build reads {SCHEMA_VERSION}.")
        if event.time_ms < event.ingested_ms - self._config.max_age_ms:
            raise InputError(f"time_ms {event.time_ms} is more than {self._config.max_age_ms} ms in the past.")

    def _measured(self, event: AnyEvent) -> AnyEvent:
        """Checked against the catalogue, whose length a watch gets."""
        if isinstance(event, Watch | VideoPublished) and not 0 < event.length_ms <= MAX_LENGTH_MS:
            raise InputError(f"length_ms is {event.length_ms}; it must be 1 to {MAX_LENGTH_MS}.")
        if isinstance(event, VideoEvent):
            known_ms = self._video_length_ms(event.video_id)
            if known_ms is None:
                raise InputError("video_id names no video of the catalogue.")
            if isinstance(event, Watch):
                return _with_length(event, known_ms or event.length_ms)
        # The video of a follow is optional; every other id that an event has is needed.
        if getattr(event, "author_id", None) == "":
            raise InputError("author_id is empty.")
        if isinstance(event, CATALOGUE_EVENTS) and not event.video_id:
            raise InputError("video_id is empty.")
        return event

    async def _placed(self, event: AnyEvent) -> AnyEvent:
        """Checked against the slate that it names; an impression gets its place there."""
        slate_id: str = getattr(event, "slate_id", "")
        if not slate_id:
            if isinstance(event, Impression):
                raise InputError("An impression must name the slate that it was served in.")
            return event
        slate = await self._slates.get(slate_id) if len(slate_id) <= MAX_ID_CHARS else None
        if slate is None or slate.viewer_id != event.viewer_id:
            raise InputError("slate_id names no slate of this viewer.")
        if not isinstance(event, VideoEvent):
            return event
        if event.video_id not in slate.video_ids:
            raise InputError("The slate does not hold this video.")
        return _in_slate(event, slate) if isinstance(event, Impression) else event


def _stamped(event: AnyEvent, stamp: tuple[str, int]) -> AnyEvent:
    """The event with our stamp, whatever the client wrote there."""
    region, offset = ("", 0) if isinstance(event, CATALOGUE_EVENTS) else stamp
    if event.viewer_region == region and event.catalogue_offset == offset:
        return event
    return msgspec.structs.replace(event, viewer_region=region, catalogue_offset=offset)


class _SlateCache:
    """Slates by id for a short while: a page's impressions arrive one after the other."""

    def __init__(self, slates: SlateStore, clock: Clock, config: IntakeConfig) -> None:
        self._slates = slates
        self._clock = clock
        self._config = config
        self._kept: dict[str, tuple[int, Slate]] = {}

    async def get(self, slate_id: str) -> Slate | None:
        """The slate, None when unknown (which is not remembered: it may be written later)."""
        now_ms = self._clock()
        until_ms, slate = self._kept.get(slate_id, (0, None))
        if slate is not None and now_ms < until_ms:
            return slate
        slate = await self._slates.get(slate_id)
        self._kept.pop(slate_id, None)
        if slate is not None:
            if len(self._kept) >= self._config.slate_cache_size:
                del self._kept[next(iter(self._kept))]
            self._kept[slate_id] = (now_ms + self._config.slate_cache_ms, slate)
        return slate


def _with_length(event: Watch, length_ms: int) -> Watch:
    # Labels are derived from play and length; only importers, writing to the log, bring their own.
    return msgspec.structs.replace(event, length_ms=length_ms, long_view=None, click=None)


def _in_slate(event: Impression, slate: Slate) -> Impression:
    # Position and propensity are what was logged when the slate was served, not what a client says.
    position = slate.video_ids.index(event.video_id)
    logged = slate.propensities[position] if slate.propensities else None
    return msgspec.structs.replace(
        event,
        position=position,
        surface=slate.surface,
        session_id=slate.session_id,
        propensity=logged,
    )


def _json_object(raw: bytes) -> dict[str, Any]:
    """The document in `raw`, whose integers fit 64 bits."""
    try:
        document = msgspec.json.decode(raw)
    except (ValueError, RecursionError) as error:
        raise InputError(f"The event is not valid JSON ({error}).") from error
    if not isinstance(document, dict):
        raise InputError("The event is not a JSON object.")
    for name, value in document.items():
        if type(value) is int and not -_INT64 <= value < _INT64:
            raise InputError(f"{name[:MAX_ID_CHARS]} is not a 64-bit number.")
    return document


def _id_of(raw: bytes | Event) -> str:
    """The id of an event that was rejected, as far as it can be read; at most MAX_ID_CHARS."""
    if isinstance(raw, Event):
        return raw.event_id[:MAX_ID_CHARS]
    try:
        event_id = _json_object(raw).get("event_id", "")
    except InputError:
        return ""
    return event_id[:MAX_ID_CHARS] if isinstance(event_id, str) else ""
