"""What intake lets through, checked again where a topic is read: others may write to it; numbers must fit columns."""

from typing import Final

import numpy as np

from core.events import MAX_ID_CHARS, Event, Impression, VideoPublished, Watch

_FAR_MS: Final = 4_102_444_800_000  # the year 2100
_INT32: Final = 2**31
_INT62: Final = 2**62


def unsound(event: Event) -> str:
    """One sentence why an event cannot be counted, "" where it can; the same whenever it is asked."""
    for name in ("event_id", "viewer_id", "video_id", "author_id"):
        if len(getattr(event, name, "")) > MAX_ID_CHARS:
            return f"{name} has more than {MAX_ID_CHARS} characters."
    numbers = [("time_ms", event.time_ms, _FAR_MS), ("ingested_ms", event.ingested_ms, _FAR_MS)]
    numbers.append(("catalogue_offset", event.catalogue_offset, _INT62))
    if isinstance(event, Watch):
        numbers += [("play_ms", event.play_ms, _INT62), ("length_ms", event.length_ms, _INT32)]
    elif isinstance(event, Impression):
        numbers.append(("position", abs(event.position), _INT32))
    elif isinstance(event, VideoPublished):
        numbers += [("length_ms", event.length_ms, _INT32), ("upload_ms", abs(event.upload_ms), _FAR_MS)]
    if not np.isfinite(getattr(event, "content_embedding", None) or ()).all():
        return "content_embedding holds a number that is not finite."
    for name, value, limit in numbers:
        if not 0 <= value < limit:
            return f"{name} {value} is outside 0 to {limit - 1}."
    return ""
