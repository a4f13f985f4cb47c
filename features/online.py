"""Features at serving: one fused read of raw state for a query and many candidates, then the shared definitions."""

import numpy as np

from core.arrays import Float32, Int32
from core.query import Query
from core.video_table import Vocabulary
from features.definitions import Reading, matrix
from features.kernels import gather
from features.raw import Blocks
from features.state import FeatureState, empty_blocks, state_of, viewer_arrays


class OnlineFeatures:
    """Computes the feature matrix of a query's candidates from live state."""

    def __init__(self, state: FeatureState, surfaces: Vocabulary, default_surface: int) -> None:
        self._state, self._surfaces, self._default = state, surfaces, default_surface

    def blocks(self, query: Query, rows: Int32) -> Blocks:
        """Raw state of the viewer against each row, decayed to the query's time. first dimension: rows, or one"""
        blocks, s = empty_blocks(len(rows), 1), self._state
        viewer = viewer_arrays(state_of(query))
        gather(
            rows,
            query.now_ms,
            viewer,
            s.video_columns(),
            s.videos.counts,
            s.authors.counts,
            s.trends.counts,
            blocks,
        )
        return blocks

    def matrix(self, query: Query, rows: Int32, out: Float32 | None = None) -> Float32:
        """[rows, features] float32, in the order of definitions.FEATURES; written to `out` where given"""
        return matrix(self.reading(query, rows, self.blocks(query, rows)), out)

    def reading(self, query: Query, rows: Int32, blocks: Blocks) -> Reading:
        """The blocks with the context that the definitions need."""
        table, record = self._state.table, state_of(query)
        surface = self._surfaces.code(query.surface) or self._default
        return Reading(
            blocks=blocks,
            now_ms=np.array([query.now_ms], np.int64),
            upload_ms=table.upload_ms[rows],
            length_ms=table.length_ms[rows],
            language=table.language[rows],
            region=table.region[rows],
            cluster=table.cluster[rows],
            profile=record["profile"],
            traits=record["traits"],
            follows=np.isin(table.author[rows], query.follows),
            surface=np.array([surface], np.int32),
        )
