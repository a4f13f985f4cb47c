"""EASE: the linear model that foretells each watch of a viewer from their others, solved in closed form."""

import numpy as np
from pydantic import BaseModel, ConfigDict, Field
from scipy.linalg import lapack
from scipy.sparse import csr_array

from candidate_gen.interactions import Interactions
from candidate_gen.item_to_item import Neighbours
from candidate_gen.watch_weights import WatchWeights
from core.arrays import Array, Float32


class EaseConfig(BaseModel):
    """The one regularisation of the model, and what of its square matrix is kept."""

    model_config = ConfigDict(frozen=True)

    regularisation: float = Field(300.0, gt=0, description="added to the diagonal of the co-watches")
    videos: int = Field(10_000, ge=1, description="most watched videos that take part; memory grows with the square")
    neighbours: int = Field(400, ge=1, description="largest weights, of either sign, kept for each watched video")
    weights: WatchWeights = Field(
        default_factory=lambda: WatchWeights(half_life_ms=30 * 86_400_000), description="of the watches in the fit"
    )


def fit_ease(watches: Interactions, videos: int, config: EaseConfig) -> Neighbours:
    """What each watched video says for every other (Steck, 2019): B = I - P / diag(P), P the inverse of the watches'
    Gram matrix plus the regularisation; of each row the weights furthest from 0."""
    weight = config.weights.of(watches.indptr, watches.signal, watches.time_ms)
    mass = np.bincount(watches.video, weight, minlength=videos)
    chosen = np.sort(np.argsort(-mass, kind="stable")[: config.videos])
    chosen = chosen[mass[chosen] > 0]
    shape = (watches.viewers, videos)
    matrix = csr_array((weight, (watches.viewer(), watches.video)), shape=shape).tocsc()[:, chosen]
    rows = np.full((videos, config.neighbours), -1, np.int32)
    scores = np.zeros((videos, config.neighbours), np.float32)
    if len(chosen):
        gram = np.asarray((matrix.T @ matrix).todense(), np.float32)
        best, strength = _strongest(_linear(gram, config.regularisation), config.neighbours)
        rows[chosen, : best.shape[1]] = np.where(strength != 0, chosen[best], -1)
        scores[chosen, : best.shape[1]] = strength
    return Neighbours(rows, scores)


def _linear(gram: Array, regularisation: float) -> Float32:
    """B of the Gram matrix [n, n], which is overwritten. [n, n] float32"""
    size = np.arange(len(gram))
    gram[size, size] += np.float32(regularisation)
    factor, _ = lapack.spotrf(gram, lower=0, overwrite_a=1)
    inverse, _ = lapack.spotri(factor, lower=0, overwrite_c=1)
    inverse = np.triu(inverse) + np.triu(inverse, 1).T
    linear = -inverse / np.diag(inverse)[None, :]
    linear[size, size] = 0
    return np.asarray(linear, np.float32)


def _strongest(linear: Float32, count: int) -> tuple[Array, Float32]:
    """The columns of each row's `count` weights furthest from 0, the largest first, and the weights."""
    count = min(count, linear.shape[1])
    found = np.sort(np.argpartition(-np.abs(linear), count - 1, axis=1)[:, :count], axis=1)
    order = np.argsort(-np.take_along_axis(linear, found, 1), axis=1, kind="stable")
    found = np.take_along_axis(found, order, 1)
    return found, np.take_along_axis(linear, found, 1).astype(np.float32)
