"""Writes a bundle: models, index and words into a folder of its own, the manifest last."""

import hashlib
import importlib.metadata
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from candidate_gen.index import IndexConfig, VideoIndex
from candidate_gen.towers import VideoTower
from core.manifest import CHAMPION, Manifest, sha256, write_manifest
from features.definitions import schema_hash
from feeds.bundle import (
    AFFINITY_FILE,
    ALS_FILE,
    BLEND_FILE,
    EASE_FILE,
    INDEX_FILE,
    LENGTHS_FILE,
    NEIGHBOURS_FILE,
    RANKER_NAMES,
    TOWERS_FILE,
    WORDS_FILE,
)
from training.config import TrainConfig
from training.log_data import LogData
from training.retrieval import Retrieval
from training.split import Split

if TYPE_CHECKING:
    from training.pipeline import Fitted

_VERSIONED = ("foryou", "torch", "faiss-cpu", "lightgbm", "numpy", "numba", "mlflow", "feast", "ray")
_FLAT_LIMIT = 20_000


def write_bundle(
    bundles: Path, data: LogData, fitted: "Fitted", config: TrainConfig, now_ms: int, beside: Mapping[str, bytes]
) -> Manifest:
    """Write all that was fitted and will serve, and files `beside` it; the folder's name is the bundle's id, a hash of
    its content."""
    retrieval, ranker, split, parent = fitted.serving, fitted.ranking.ranker, fitted.split, fitted.parent
    part = bundles / "part"
    shutil.rmtree(part, ignore_errors=True)  # what a killed run left would be hashed with the rest
    part.mkdir(parents=True)
    (part / TOWERS_FILE).write_bytes(retrieval.towers.to_bytes())
    (part / AFFINITY_FILE).write_bytes(retrieval.affinity.to_bytes())
    (part / NEIGHBOURS_FILE).write_bytes(retrieval.neighbours.to_bytes())
    (part / ALS_FILE).write_bytes(retrieval.als.to_bytes())
    (part / EASE_FILE).write_bytes(retrieval.linear.to_bytes())
    (part / BLEND_FILE).write_bytes(fitted.blend.to_bytes())
    (part / LENGTHS_FILE).write_bytes(retrieval.lengths.to_bytes())
    (part / WORDS_FILE).write_bytes(data.words().to_bytes())
    _write_index(part / INDEX_FILE, data, retrieval, split)
    ranker.save(part)
    for name, content in beside.items():
        (part / name).write_bytes(content)
    files = {path.name: sha256(path) for path in sorted(part.iterdir()) if path.suffix != ".part"}
    bundle_id = content_id(files, schema_hash(), config.value_weights)
    manifest = Manifest(
        bundle_id=bundle_id,
        created_ms=now_ms,
        feature_schema=schema_hash(),
        feature_names=RANKER_NAMES,
        data_from_ms=split.start_ms,
        data_until_ms=split.test_from_ms,
        applied_offset=data.applied_offset,
        impressions=len(fitted.rows),
        seed=config.seed,
        heads=ranker.heads,
        value_weights=config.value_weights,
        metrics={name: float(value) for name, value in fitted.metrics.items()},
        versions=_versions(),
        files=files,
        notes=tuple(f"head {name}: {reason}" for name, reason in fitted.ranking.trained.skipped.items()),
        parent=parent.bundle_id if parent else "",
        increments=parent.increments + 1 if parent else 0,
    )
    write_manifest(part, manifest)
    folder = bundles / bundle_id
    if folder.exists():
        for path in part.iterdir():
            path.replace(folder / path.name)
        part.rmdir()
    else:
        part.replace(folder)
    return manifest


def content_id(files: Mapping[str, str], schema: str, value_weights: Mapping[str, float]) -> str:
    """A bundle's id: what it serves with, its models, features and weights, and not when it was made."""
    content = json.dumps([dict(files), schema, dict(value_weights)], sort_keys=True)
    return "b" + hashlib.sha256(content.encode()).hexdigest()[:12]


def _write_index(path: Path, data: LogData, retrieval: Retrieval, split: Split) -> None:
    table = data.state.table
    rows = np.arange(len(table), dtype=np.int32)
    vectors = VideoTower(retrieval.towers).embed(table, rows, split.test_from_ms)
    kind = "flat" if len(rows) <= _FLAT_LIMIT else "ivf"
    path.write_bytes(VideoIndex.build(rows, vectors, IndexConfig(kind=kind)).to_bytes())


def crown(bundles: Path, bundle_id: str) -> None:
    """Make a bundle the one that serving loads."""
    temporary = bundles / (CHAMPION + ".part")
    temporary.write_text(bundle_id)
    temporary.replace(bundles / CHAMPION)


def _versions() -> dict[str, str]:
    found = {}
    for name in _VERSIONED:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "absent"
    return found
