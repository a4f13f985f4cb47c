"""Packed rows with something in every bit that the layout declares, and a home that holds them."""

import asyncio
from pathlib import Path

import numpy as np

from features.feast_fields import CLOCK, ENTITIES
from features.packed import pack_rows
from foryou.stores import open_stores

Packed = dict[str, dict[str, bytes]]


def random_rows(entity: str, count: int, seed: int) -> dict[str, bytes]:
    """Rows "viewer0", "viewer1", ... over each field's whole range."""
    rng, rows = np.random.default_rng(seed), ENTITIES[entity]
    records = np.zeros(count, rows.layout)
    for field in rows.fields:
        dtype, shape = np.dtype(field.format), records[field.name].shape
        if dtype.kind == "f":
            records[field.name] = rng.normal(size=shape)
        else:
            limits = np.iinfo(dtype)
            records[field.name] = rng.integers(limits.min, limits.max, shape, dtype, endpoint=True)
    # Feast tells when a row was applied, so the clock has to be a moment
    records[CLOCK] = rng.integers(1, 2**52, count)
    return dict(zip((f"{entity}{n}" for n in range(count)), pack_rows(records.view(rows.dtype)), strict=True))


def packed_rows_of(count: int = 4, seed: int = 0) -> Packed:
    """Rows of every entity."""
    return {entity: random_rows(entity, count, seed + place) for place, entity in enumerate(ENTITIES)}


def store_rows(home: Path, packed: Packed, offset: int) -> None:
    """Write rows as the stream processor does."""
    stores = open_stores(home)
    asyncio.run(stores.features.write(packed, offset))
    stores.close()


def stored_rows(home: Path, entity: str, ids: list[str]) -> tuple[list[bytes | None], int]:
    """What serving reads: the rows, and the offset that they include."""
    stores = open_stores(home)
    rows, offset = asyncio.run(stores.features.read(entity, ids)), asyncio.run(stores.features.applied_offset())
    stores.close()
    return rows, offset
