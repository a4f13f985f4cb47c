"""Where the archive keeps what: one object holds consecutive offsets of one partition within one hour.

An object's name says all that a reader must know to find an offset:
`archive/<topic>/day=YYYY-MM-DD/hour=HH/<partition>-<first>-<last>.parquet`.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from core.errors import CorruptData

ROOT: Final = "archive"
HOUR_MS: Final = 3_600_000
# An entry may be this much older than its object's hour: clocks of brokers differ, and no hour is torn for that.
SLACK_MS: Final = 300_000
# What is archived; of these, the topics whose messages are keyed by who they are about.
PERSONAL: Final = ("user.interaction", "foryou.slate")
ARCHIVED: Final = (*PERSONAL, "video.processed", "foryou.catalogue", "foryou.counts")

_KEY: Final = re.compile(
    rf"{ROOT}/(?P<topic>[^/]+)/day=(?P<day>\d{{4}}-\d\d-\d\d)/hour=(?P<hour>\d\d)"
    r"/(?P<partition>\d+)-(?P<first>\d+)-(?P<last>\d+)\.parquet"
)


@dataclass(frozen=True, slots=True)
class Piece:
    """One object of the archive: offsets first..last of a partition, taken by the log in the hour at `hour_ms`."""

    topic: str
    partition: int
    first: int
    last: int
    hour_ms: int

    @property
    def key(self) -> str:
        """Its name in the BlobStore; a run that archives the same again gives the same one."""
        at = datetime.fromtimestamp(self.hour_ms / 1000, UTC)
        place = f"{self.partition:04d}-{self.first:015d}-{self.last:015d}"
        return f"{folder(self.topic)}day={at:%Y-%m-%d}/hour={at:%H}/{place}.parquet"


def folder(topic: str) -> str:
    """What the names of a topic's objects begin with."""
    return f"{ROOT}/{topic}/"


def piece_of(key: str) -> Piece:
    """What an object's name says; CorruptData for a name that the archive does not give."""
    found = _KEY.fullmatch(key)
    try:
        if found is None:
            raise ValueError("its form is another")
        at = datetime.fromisoformat(f"{found['day']}T{found['hour']}:00+00:00")
    except ValueError as error:
        raise CorruptData(
            f"The object {key} does not belong into the archive ({error}); move it out of {ROOT}/."
        ) from error
    return Piece(
        found["topic"], int(found["partition"]), int(found["first"]), int(found["last"]), int(at.timestamp()) * 1000
    )


def hour_of(time_ms: int) -> int:
    """The start of the hour of a moment."""
    return time_ms - time_ms % HOUR_MS


def covering(pieces: Iterable[Piece]) -> list[Piece]:
    """The fewest pieces of one partition that hold every offset that any of them holds, in order."""
    chosen: list[Piece] = []
    for piece in sorted(pieces, key=lambda p: (p.first, -p.last)):
        if chosen and piece.last <= chosen[-1].last:
            continue
        # The one before is not needed where its neighbours meet without it.
        while len(chosen) > 1 and chosen[-2].last + 1 >= piece.first:
            chosen.pop()
        chosen.append(piece)
    return chosen
