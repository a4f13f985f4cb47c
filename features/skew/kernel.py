"""The kernel of a replay that keeps copies: the shared `apply_event` in offset order, and rows copied on the way."""

# numba infers the types of its functions
# mypy: allow-untyped-defs, allow-untyped-calls
# ruff: noqa: ANN001, ANN201

from typing import Final

from numba import njit

from features.writes import apply_event

ENTITIES: Final = ("viewer", "video", "author", "trend")


@njit(cache=True)
def count_and_keep(ops, viewers, videos, video_counts, author_counts, trend_counts, take, raw, kept, kept_viewers):
    """Apply every event in order; after event take[k, 0] copy row take[k, 2] of entity take[k, 1] to slot take[k, 3].

    `raw` are the bytes of viewers, videos, authors and trends [rows, size] uint8; slots of viewers are in
    `kept_viewers`, all others in `kept`. take [copies, 4] int64 is sorted by event.
    """
    k = 0
    for i in range(ops.op.shape[0]):
        apply_event(ops, i, viewers, videos, video_counts, author_counts, trend_counts)
        while k < take.shape[0] and take[k, 0] == i:
            row, slot = take[k, 2], take[k, 3]
            if take[k, 1] == 0:
                kept_viewers[slot, :] = raw[0][row, :]
            elif take[k, 1] == 1:
                kept[slot, :] = raw[1][row, :]
            elif take[k, 1] == 2:
                kept[slot, :] = raw[2][row, :]
            else:
                kept[slot, :] = raw[3][row, :]
            k += 1
