"""The table of docs/topics.md, from the declarations: `python -m tests.core.topics_table` prints it."""

from collections.abc import Sequence

import msgspec

from core import topics
from core.events import CATALOGUE_EVENTS, VIEWER_EVENTS, Event
from core.topics import DEAD_LETTER_RETENTION_MS, FOREVER, TOPICS, Topic
from features.stream.messages import CatalogueEntry, CounterRow, CountsBatch
from feeds.shared_slates import SlateMessage

DAY_MS = 86_400_000
HEAD = """\
| topic | key | carries: kind (its fields) | partitions, local / spec | kept | dead letters |
|---|---|---|---|---|---|"""
CARRIES: dict[str, Sequence[type[msgspec.Struct]]] = {
    topics.VIDEO_UPLOADED: (topics.VideoUploaded,),
    topics.VIDEO_PROCESSED: CATALOGUE_EVENTS,
    topics.USER_INTERACTION: VIEWER_EVENTS,
    topics.FEED_UPDATE: (topics.FeedUpdate,),
    topics.NOTIFICATION_TRIGGER: (topics.NotificationTrigger,),
    topics.CATALOGUE: (CatalogueEntry,),
    topics.COUNTS: (CountsBatch,),
    topics.SLATES: (SlateMessage,),
    topics.VIDEO_STATE: (CounterRow,),
}


def table() -> str:
    """The table as Markdown."""
    return "\n".join([HEAD, *map(_row, TOPICS.values())])


def shared_fields() -> str:
    """What every event carries."""
    return ", ".join(Event.__struct_fields__)


def _row(topic: Topic) -> str:
    carries = "<br>".join(map(_kind, CARRIES[topic.name]))
    partitions = f"{topic.partitions['local']} / {topic.partitions['spec']}"
    dead = f"`{topic.dead_letters}`, {DEAD_LETTER_RETENTION_MS // DAY_MS} days"
    return f"| `{topic.name}` | {topic.key} | {carries} | {partitions} | {_kept(topic)} | {dead} |"


def _kept(topic: Topic) -> str:
    if topic.compacted:
        return "the last of each key, for ever"
    return "for ever" if topic.retention_ms == FOREVER else f"{topic.retention_ms // DAY_MS} days"


def _kind(struct: type[msgspec.Struct]) -> str:
    said_above = {"schema", *(Event.__struct_fields__ if issubclass(struct, Event) else ())}
    fields = ", ".join(name for name in struct.__struct_fields__ if name not in said_above)
    return f"`{struct.__struct_config__.tag or struct.__name__}` ({fields})"


if __name__ == "__main__":
    print(table())
