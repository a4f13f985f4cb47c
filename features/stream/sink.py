"""Where intake's events go on a cluster: each kind to its topic, under its key."""

from collections.abc import Sequence

from core.events import CATALOGUE_EVENTS, Event, encode
from core.log import Message, MessageLog
from core.ports import Appended
from core.topics import USER_INTERACTION, VIDEO_PROCESSED


class StreamSink:
    """EventSink on a message log: a viewer's events keep their order, and a video's do.

    The log does not know event ids: what is sent again is appended again, and the stages pass over it.
    """

    def __init__(self, log: MessageLog) -> None:
        self._log = log

    async def append(self, events: Sequence[Event]) -> list[Appended]:
        """Durable when it returns. Raises Unavailable, StorageFull; then nothing is acknowledged."""
        offsets: dict[int, int] = {}
        for topic, catalogue in ((VIDEO_PROCESSED, True), (USER_INTERACTION, False)):
            chosen = [n for n, event in enumerate(events) if isinstance(event, CATALOGUE_EVENTS) is catalogue]
            if not chosen:
                continue
            places = await self._log.append(topic, [_message(events[n]) for n in chosen])
            offsets.update(zip(chosen, (place.offset for place in places), strict=True))
        return [Appended(offsets[n], False) for n in range(len(events))]


def _message(event: Event) -> Message:
    key = event.video_id if isinstance(event, CATALOGUE_EVENTS) else event.viewer_id
    return Message(key, encode(event))
