"""Similarities between a viewer and candidate videos, as features for ranking."""

from typing import Final

import numpy as np

from candidate_gen.interactions import POSITIVE
from candidate_gen.viewer_view import History
from core.arrays import Array, Float32, Int32

HISTORY_SIMILARITIES: Final = ("max_recent", "mean_recent", "max_positive", "mean_positive")


def tower_score(viewer_vector: Float32, video_vectors: Float32, rows: Int32) -> Float32:
    """The towers' score of each candidate: the viewer's vector [dim + 1] with `video_vectors` [videos, dim + 1]; 0 for
    a row that has no vector. [n] float32"""
    known = rows < len(video_vectors)
    scores = video_vectors[np.where(known, rows, 0)] @ viewer_vector
    return np.where(known, scores, 0).astype(np.float32)


def unit_rows(vectors: Float32) -> Float32:
    """Each vector at length 1; zeros stay zeros. [n, dim] float32"""
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return (vectors / np.where(length > 0, length, 1)).astype(np.float32)


def history_similarity(unit_embedding: Float32, rows: Int32, history: History, last: int = 10) -> Float32:
    """Cosine of each candidate's content [videos, dim] (`unit_rows`) with the last watched and the last positively
    watched videos: HISTORY_SIMILARITIES, 0 where there is nothing to compare. [n, 4] float32"""
    columns = np.zeros((len(rows), len(HISTORY_SIMILARITIES)), np.float32)
    if unit_embedding.size == 0 or len(rows) == 0:
        return columns
    candidates = _vectors(unit_embedding, rows)
    positive = (history.signal & POSITIVE) > 0
    for at, watched in ((0, history.video[-last:]), (2, history.video[positive][-last:])):
        if len(watched):
            cosine = candidates @ _vectors(unit_embedding, watched).T
            columns[:, at], columns[:, at + 1] = cosine.max(axis=1), cosine.mean(axis=1)
    return columns


def _vectors(unit_embedding: Float32, rows: Array) -> Float32:
    known = (rows >= 0) & (rows < len(unit_embedding))
    vectors: Float32 = unit_embedding[np.where(known, rows, 0)] * known[:, None]
    return vectors
