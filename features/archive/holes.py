"""What the archive has of each partition beside what the log still has, and what neither has any more."""

from collections.abc import Sequence
from itertools import groupby

from core.errors import CorruptData
from core.log import Bounds
from core.ports import BlobStore
from features.archive.layout import Piece, covering, folder, piece_of


async def pieces_of(blobs: BlobStore, topic: str) -> dict[int, list[Piece]]:
    """The objects of a topic to read, by partition, in order of offsets. CorruptData for a foreign object."""
    found = sorted(map(piece_of, await blobs.list(folder(topic))), key=lambda piece: piece.partition)
    return {number: covering(pieces) for number, pieces in groupby(found, lambda piece: piece.partition)}


def reached(pieces: Sequence[Piece], live: Bounds) -> int:
    """The offset after which to archive: the archive's last, or the one before the first gap that the log can fill."""
    after = 0
    for piece in pieces:
        if after + 1 < piece.first and live.first < piece.first:
            break
        after = piece.last
    if pieces and pieces[-1].last > live.last:
        raise CorruptData(ahead(pieces[-1], live))
    return after


def together(pieces: Sequence[Piece], live: Bounds | None) -> Bounds:
    """First and last offset of both together; CorruptData where the archive is another log's."""
    if live is None or not pieces:
        return live or (Bounds(pieces[0].first, pieces[-1].last) if pieces else Bounds(1, 0))
    if pieces[-1].last > live.last:
        raise CorruptData(ahead(pieces[-1], live))
    # A log that is empty says where it goes on; it holds nothing before that.
    first = min(pieces[0].first, live.first) if live.last >= live.first else pieces[0].first
    return Bounds(first, live.last)


def ahead(piece: Piece, live: Bounds) -> str:
    """The sentence for an archive that has more than the log ever had."""
    return (
        f"The archive has {piece.topic} partition {piece.partition} up to offset {piece.last} and the log ends at"
        f" {live.last}: it is the archive of another log; give this one a folder of its own."
    )


def lost(topic: str, partition: int, first: int, last: int) -> str:
    """The sentence for offsets that nobody has."""
    return (
        f"Offsets {first} to {last} of {topic} partition {partition} are neither in the archive nor on the log: the"
        " broker forgot them before they were archived; restore their objects from a copy, or accept the loss."
    )
