"""How keys are built; all begin with the setting's prefix, and on a cluster the part in braces decides the slot.

    {u12}:session               a cache key, built by core.cache_keys: all of a viewer's share the slot of {u12}
    f:viewer:{u12}              the packed row of viewer u12, in the same slot
    f:video:{video.37}:v9       the packed row of video v9; the rows of an entity share BUCKETS slots, so that a
                                read of hundreds is some MGETs and not hundreds of GETs
    applied:{0}:viewer:3        the mark viewer:3, once on every node, in a slot of that node (`Nodes.tags`)
    schema                      the feature schema of the rows

Braces and percent signs in a viewer's id are escaped, so that a strange id neither collides nor changes its slot.
"""

from collections.abc import Iterable
from typing import Final
from zlib import crc32

from core.cache_keys import owner_of, tag_of

BUCKETS: Final = 128
SCHEMA: Final = "schema"
ROWS: Final = "f:"
MARKS: Final = "applied:"


def row_keys(entity: str, ids: Iterable[str]) -> list[str]:
    """The keys of an entity's packed rows."""
    if entity == "viewer":
        return [f"{ROWS}viewer:{{{tag_of(viewer)}}}" for viewer in ids]
    return [f"{ROWS}{entity}:{{{entity}.{crc32(one.encode()) % BUCKETS}}}:{one}" for one in ids]


def row_id(key: str) -> str:
    """The id of a row from its key."""
    head, _, rest = key.partition("}")
    return rest[1:] if rest else owner_of(head.partition("{")[2])


def mark_key(tag: str, name: str) -> str:
    """The key of a mark on the node of a tag."""
    return f"{MARKS}{{{tag}}}:{name}"
