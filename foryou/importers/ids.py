"""Event ids that follow from the row: a second import of the same row gives the same ids."""

from collections.abc import Sequence
from hashlib import blake2b

_SEPARATOR = "\x1f"  # no id of a log holds it, so no two rows share a key


def row_keys(
    source: str,
    event_ids: Sequence[str | None] | None,
    viewers: Sequence[str],
    videos: Sequence[str],
    times_ms: Sequence[int],
) -> list[str]:
    """Each row's key: the source and the row's own id, or viewer, video and time where it has none."""
    prefix = source + _SEPARATOR
    if event_ids is not None and None not in event_ids:
        return [f"{prefix}{event_id}" for event_id in event_ids]
    keys = [
        f"{prefix}{viewer}{_SEPARATOR}{video}{_SEPARATOR}{time_ms}"
        for viewer, video, time_ms in zip(viewers, videos, times_ms, strict=True)
    ]
    if event_ids is None:
        return keys
    return [key if own is None else prefix + own for key, own in zip(keys, event_ids, strict=True)]


def event_id(key: str, kind: str) -> str:
    """32 hex characters for one event of a row."""
    return blake2b(f"{key}{_SEPARATOR}{kind}".encode(), digest_size=16).hexdigest()


def own_id(source: str, kind: str, *parts: str) -> str:
    """The id of an event that is no row of a log, such as the publication of a video."""
    return event_id(_SEPARATOR.join((source, *parts)), kind)
