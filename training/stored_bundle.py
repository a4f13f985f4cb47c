"""A bundle's files as what a fit gives, so that a bundle can be judged as a fit is."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from candidate_gen.als import AlsFactors
from candidate_gen.blend import Blend
from candidate_gen.item_to_item import Neighbours
from candidate_gen.towers import TowerArrays
from core.arrays import Array
from core.errors import SchemaMismatch
from core.manifest import Manifest, read_manifest
from features.definitions import schema_hash
from feeds.bundle import (
    AFFINITY_FILE,
    ALS_FILE,
    BLEND_FILE,
    EASE_FILE,
    LENGTHS_FILE,
    NEIGHBOURS_FILE,
    RANKER_NAMES,
    TOWERS_FILE,
)
from feeds.session_lengths import SessionLengths
from ranking.ranker import Ranker
from training.retrieval import Retrieval


@dataclass(frozen=True, slots=True)
class StoredBundle:
    """What retrieves and what ranks, as they were written."""

    manifest: Manifest
    retrieval: Retrieval
    blend: Blend
    ranker: Ranker


def stored_bundle(folder: Path, videos: int) -> StoredBundle:
    """The bundle in a folder over a catalogue of so many videos, those that came since it was made included; NotFound,
    CorruptData or SchemaMismatch where it cannot serve this catalogue with this build."""
    manifest = read_manifest(folder, schema_hash())
    towers = TowerArrays.from_bytes((folder / TOWERS_FILE).read_bytes())
    if towers.videos > videos:
        raise SchemaMismatch(f"Bundle {manifest.bundle_id} knows {towers.videos} videos of a catalogue of {videos}.")
    als = AlsFactors.from_bytes((folder / ALS_FILE).read_bytes())
    retrieval = Retrieval(
        towers=towers,
        affinity=TowerArrays.from_bytes((folder / AFFINITY_FILE).read_bytes()),
        neighbours=_neighbours(folder / NEIGHBOURS_FILE, videos),
        als=replace(als, videos=_grown(als.videos, videos, 0)),
        linear=_neighbours(folder / EASE_FILE, videos),
        curve=(),
        lengths=_lengths(folder / LENGTHS_FILE),
    )
    blend = Blend.from_bytes((folder / BLEND_FILE).read_bytes())
    return StoredBundle(manifest, retrieval, blend, Ranker.load(folder, RANKER_NAMES))


def _lengths(path: Path) -> SessionLengths:
    return SessionLengths.from_bytes(path.read_bytes()) if path.is_file() else SessionLengths()


def _neighbours(path: Path, videos: int) -> Neighbours:
    known = Neighbours.from_bytes(path.read_bytes())
    return Neighbours(_grown(known.rows, videos, -1), _grown(known.scores, videos, 0))


def _grown(rows: Array, videos: int, nothing: float) -> Array:
    """Rows by video, with `nothing` for the videos that came later."""
    return np.pad(rows, ((0, videos - len(rows)), (0, 0)), constant_values=nothing)
