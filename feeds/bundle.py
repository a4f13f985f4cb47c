"""A bundle in use: towers, index, neighbours, ranker and value model over the live catalogue."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from candidate_gen.als import AlsFactors, no_factors
from candidate_gen.blend import Blend
from candidate_gen.index import VideoIndex
from candidate_gen.item_to_item import Neighbours
from candidate_gen.towers import TowerArrays
from core.arrays import Array, Float32, Float64, Int32
from core.manifest import Manifest, read_manifest
from core.query import Query
from core.video_table import VideoTable
from features.definitions import NAMES, schema_hash
from features.online import OnlineFeatures
from features.state import FeatureState, state_of
from features.words import Words
from feeds.cross import CROSS, HISTORY_FROM, SERVED_POSITION, history_cross, unit_rows
from feeds.session_lengths import SessionLengths
from feeds.tower_pair import TowerPair
from ranking.ranker import Ranker
from ranking.value_model import Predictions, ValueModel, ValueModelConfig

TOWERS_FILE = "towers.npz"
AFFINITY_FILE = "affinity.npz"
NEIGHBOURS_FILE = "neighbours.npz"
ALS_FILE = "als.npz"
EASE_FILE = "ease.npz"
BLEND_FILE = "blend.json"
INDEX_FILE = "videos.faiss"
WORDS_FILE = "words.json"
LENGTHS_FILE = "session_lengths.json"
RANKER_NAMES: tuple[str, ...] = (*NAMES, *CROSS)
_WATCHES = NAMES.index("video_watches_30d")


@dataclass(slots=True)
class Bundle:
    """The models with what is derived from them for this catalogue. `towers` retrieve (which videos would this viewer
    watch, among all), `affinity` ranks (how would they watch this one, once shown); `linear` is EASE's matrix."""

    manifest: Manifest
    towers: TowerPair
    affinity: TowerPair
    unit_content: Float32
    index: VideoIndex
    neighbours: Neighbours
    ranker: Ranker
    value_model: ValueModel
    online: OnlineFeatures
    table: VideoTable
    als: AlsFactors = field(default_factory=no_factors)
    linear: Neighbours = field(default_factory=Neighbours.none)
    blend: Blend = field(default_factory=lambda: Blend({}))
    lengths: SessionLengths = field(default_factory=SessionLengths)

    def tower_scores(self, query: Query, rows: Int32) -> Float32:
        """Viewer x video inner products of the retrieval towers, bias included. [rows] float32"""
        return self.towers.scores(query, rows)

    def features(self, query: Query, rows: Int32, tower: Float32) -> Float32:
        """Declared features, then the cross features of feeds.cross, each contiguous. [rows, features] float32"""
        return self.features_and_read(query, rows, tower)[0]

    def features_and_read(self, query: Query, rows: Int32, tower: Float32) -> tuple[Float32, Array]:
        """The features, and which state each row was computed from. [rows] features.logged.READ_DTYPE"""
        out = np.empty((len(rows), len(RANKER_NAMES)), np.float32, "F")
        _, read = self.online.matrix_and_read(query, rows, out[:, : len(NAMES)])
        record = state_of(query)
        out[:, len(NAMES)] = tower
        out[:, len(NAMES) + 1] = self.towers.vectors[rows, -1]
        out[:, len(NAMES) + 2] = self.affinity.scores(query, rows)
        out[:, len(NAMES) + 3] = SERVED_POSITION
        out[:, len(NAMES) + 4] = self._session_lift(query, rows)
        out[:, len(NAMES) + HISTORY_FROM :] = history_cross(
            np.zeros(len(rows), np.int32),
            record["history_video"],
            record["history_signal"],
            record["history_len"],
            rows,
            self.neighbours.rows,
            self.neighbours.scores,
            self.unit_content,
        )
        return out, read

    def _session_lift(self, query: Query, rows: Int32) -> Float32:
        record, length_ms = state_of(query), self.table.length_ms
        return self.lengths.lift(
            np.zeros(len(rows), np.int32),
            record["history_video"],
            record["history_signal"],
            record["history_time_ms"],
            record["history_len"],
            np.array([query.now_ms]),
            length_ms[rows],
            length_ms,
        )

    def predictions(self, features: Float32) -> Predictions:
        """Calibrated predictions by head. [rows] float64 each"""
        return self.ranker.predict(features)

    def values(self, features: Float32) -> Float64:
        """The value of each row of the matrix. [rows] float64"""
        if not len(features):
            return np.zeros(0, np.float64)
        return self.value_model.value(self.ranker.predict(features))

    def watches(self, features: Float32) -> Float64:
        """How often the video of each row of the matrix was watched, decayed by 30 days. [rows] float64"""
        return np.asarray(features[:, _WATCHES], np.float64)

    def content(self, rows: Int32) -> Float32:
        """Unit vectors by which videos are compared: content where there is one, else the tower; zeros for a video that
        came since `extend`. [rows, dim]"""
        known = rows < len(self.unit_content)
        if not known.all():
            return np.asarray(self.content(np.where(known, rows, 0)) * known[:, None], np.float32)
        if self.unit_content.shape[1]:
            return self.unit_content[rows]
        return unit_rows(self.towers.vectors[rows, :-1])

    def extend(self, now_ms: int) -> int:
        """Give vectors to videos that were published since; how many."""
        rows, vectors = self.towers.extend(self.table, now_ms)
        self.affinity.extend(self.table, now_ms)
        if len(rows):
            self.unit_content = np.concatenate([self.unit_content, unit_rows(self.table.embedding[rows])])
            self.index.add(rows, vectors)
        return len(rows)


def load_bundle(folder: Path, state: FeatureState, now_ms: int) -> Bundle:
    """The bundle in `folder` over the live catalogue, its words in the state; NotFound, CorruptData or SchemaMismatch
    when it cannot serve."""
    bundle = read_bundle(folder, state, state.table, now_ms)
    restore_words(folder, state)
    return bundle


def read_bundle(folder: Path, state: FeatureState, table: VideoTable, now_ms: int) -> Bundle:
    """The same without a change to the state, so that a thread can read it beside the requests; it has vectors of the
    videos of `table`. Its words must be restored before it serves."""
    manifest = read_manifest(folder, schema_hash())
    words = Words.from_bytes((folder / WORDS_FILE).read_bytes())
    towers = _pair(folder / TOWERS_FILE, table, now_ms)
    bundle = Bundle(
        manifest=manifest,
        towers=towers,
        affinity=_pair(folder / AFFINITY_FILE, table, now_ms),
        unit_content=unit_rows(table.embedding),
        index=_index(folder / INDEX_FILE, towers.vectors),
        neighbours=Neighbours.from_bytes((folder / NEIGHBOURS_FILE).read_bytes()),
        ranker=Ranker.load(folder, RANKER_NAMES),
        value_model=ValueModel(ValueModelConfig(weights=manifest.value_weights)),
        online=OnlineFeatures(state, words.surfaces(), words.default_surface),
        table=state.table,
    )
    _read_sources(bundle, folder)
    bundle.ranker.warm_up()
    return bundle


def _read_sources(bundle: Bundle, folder: Path) -> None:
    """The sources' files; a bundle that was written before there were any retrieves without them."""
    if BLEND_FILE in bundle.manifest.files:
        bundle.als = AlsFactors.from_bytes((folder / ALS_FILE).read_bytes())
        bundle.linear = Neighbours.from_bytes((folder / EASE_FILE).read_bytes())
        bundle.blend = Blend.from_bytes((folder / BLEND_FILE).read_bytes())
    if LENGTHS_FILE in bundle.manifest.files:
        bundle.lengths = SessionLengths.from_bytes((folder / LENGTHS_FILE).read_bytes())


def restore_words(folder: Path, state: FeatureState) -> Words:
    """Put a bundle's vocabularies into the feature state, before viewers are encoded with them."""
    words = Words.from_bytes((folder / WORDS_FILE).read_bytes())
    words.restore(state)
    return words


def _index(path: Path, vectors: Float32) -> VideoIndex:
    """The index, and in it what was published since it was built. `vectors` [videos, dim + 1]"""
    index = VideoIndex.from_bytes(path.read_bytes())
    since = np.arange(len(index), len(vectors), dtype=np.int32)
    index.add(since, vectors[since])
    return index


def _pair(path: Path, table: VideoTable, now_ms: int) -> TowerPair:
    return TowerPair.over(TowerArrays.from_bytes(path.read_bytes()), table, now_ms)
