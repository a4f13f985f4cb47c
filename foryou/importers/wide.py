"""A wide row as events: the impression, the watch, and everything that followed it."""

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from core.events import (
    Comment,
    Event,
    Follow,
    HideAuthor,
    Impression,
    Like,
    NotInterested,
    Report,
    Save,
    Share,
    VideoEvent,
    Watch,
)
from foryou.importers.ids import event_id, row_keys
from foryou.importers.rows import Rows

_ON_VIDEO: Final[dict[str, type[VideoEvent]]] = {
    "like": Like,
    "comment": Comment,
    "share": Share,
    "save": Save,
    "not_interested": NotInterested,
    "report": Report,
}
_ON_AUTHOR: Final[dict[str, type[Follow | HideAuthor]]] = {"follow": Follow, "hide_author": HideAuthor}
REACTIONS: Final = (*_ON_VIDEO, *_ON_AUTHOR)


def events_of(source: str, rows: Rows, authors: Mapping[str, str]) -> tuple[list[Event], list[int], int]:
    """The events in the rows' order, the place of each row's impression among them, and how many follows and hides
    name no author (those are left out)."""
    keys = _keys(source, rows)
    reacted = np.add.reduce([rows.numbers[name] for name in REACTIONS]).tolist()
    events: list[Event] = []
    first: list[int] = []
    authorless = 0
    pairs = zip(_impressions(keys, rows), _watches(keys, rows), reacted, strict=True)
    for row, (impression, watch, more) in enumerate(pairs):
        first.append(len(events))
        events.append(impression)
        events.append(watch)
        if more:
            authorless += _react(events, rows, row, keys[row], authors)
    return events, first, authorless


def _keys(source: str, rows: Rows) -> list[str]:
    text = rows.texts
    own = [value or None for value in text["event_id"]] if any(text["event_id"]) else None
    return row_keys(source, own, text["viewer_id"], text["video_id"], rows.numbers["time_ms"].tolist())


def _impressions(keys: Sequence[str], rows: Rows) -> list[Impression]:
    text, number = rows.texts, rows.numbers
    times = number["time_ms"]
    columns = (
        keys, text["viewer_id"], text["video_id"], text["session_id"], text["slate_id"], text["surface"],
        times.tolist(), (times + number["delay_ms"]).tolist(), number["position"].tolist(), rows.propensity,
    )  # fmt: skip
    return [
        Impression(
            event_id=event_id(key, "impression"),
            viewer_id=viewer,
            time_ms=time_ms,
            ingested_ms=ingested_ms,
            video_id=video,
            slate_id=slate,
            position=position,
            surface=surface or "for_you",
            session_id=session,
            propensity=propensity,
        )
        for key, viewer, video, session, slate, surface, time_ms, ingested_ms, position, propensity in zip(
            *columns, strict=True
        )
    ]


def _watches(keys: Sequence[str], rows: Rows) -> list[Watch]:
    text, number = rows.texts, rows.numbers
    ends = number["watch_end_ms"]
    columns = (
        keys, text["viewer_id"], text["video_id"], text["slate_id"], ends.tolist(),
        (ends + number["delay_ms"]).tolist(), number["play_ms"].tolist(), number["length_ms"].tolist(),
        rows.labels["long_view"], rows.labels["click"],
    )  # fmt: skip
    return [
        Watch(
            event_id=event_id(key, "watch"),
            viewer_id=viewer,
            time_ms=end_ms,
            ingested_ms=ingested_ms,
            video_id=video,
            slate_id=slate,
            play_ms=play_ms,
            length_ms=length_ms,
            long_view=long_view,
            click=click,
        )
        for key, viewer, video, slate, end_ms, ingested_ms, play_ms, length_ms, long_view, click in zip(
            *columns, strict=True
        )
    ]


def _react(events: list[Event], rows: Rows, row: int, key: str, authors: Mapping[str, str]) -> int:
    """Add the reactions of one row, a millisecond after its watch; how many of them name no author."""
    time_ms = int(rows.numbers["watch_end_ms"][row]) + 1
    ingested_ms = time_ms + int(rows.numbers["delay_ms"][row])
    viewer, video, slate = (rows.texts[name][row] for name in ("viewer_id", "video_id", "slate_id"))
    for name, kind in _ON_VIDEO.items():
        if rows.numbers[name][row]:
            events.append(
                kind(
                    event_id=event_id(key, name),
                    viewer_id=viewer,
                    time_ms=time_ms,
                    ingested_ms=ingested_ms,
                    video_id=video,
                    slate_id=slate,
                )
            )
    author = rows.texts["author_id"][row] or authors.get(video, "")
    asked = [(name, kind) for name, kind in _ON_AUTHOR.items() if rows.numbers[name][row]]
    for name, author_kind in asked if author else ():
        events.append(
            author_kind(
                event_id=event_id(key, name),
                viewer_id=viewer,
                time_ms=time_ms,
                ingested_ms=ingested_ms,
                author_id=author,
                slate_id=slate,
                video_id=video,
            )
        )
    return 0 if author else len(asked)
