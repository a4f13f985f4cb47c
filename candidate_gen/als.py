"""Factors of videos from weighted watches by alternating least squares; a viewer's are solved for when asked."""

from dataclasses import dataclass

import numpy as np
from numba import njit
from pydantic import BaseModel, ConfigDict, Field

from candidate_gen.interactions import POSITIVE, Interactions
from candidate_gen.watch_weights import WatchWeights
from core.arrays import Array, Float32, Int32, Int64, pack, unpack

# numba infers the types of its functions
# mypy: allow-untyped-defs, allow-untyped-calls
# ruff: noqa: ANN001, ANN202

_TINY = 1e-12


class AlsConfig(BaseModel):
    """The objective (Hu et al., 2008, in the form of Rendle et al., 2022) and how far it is solved."""

    model_config = ConfigDict(frozen=True)

    factors: int = Field(64, ge=1, description="width of a vector")
    rounds: int = Field(12, ge=1, description="times that both sides are solved")
    steps: int = Field(3, ge=1, description="steps of conjugate gradients in a round")
    fold_in_steps: int = Field(10, ge=1, description="steps with which a viewer is solved for from nothing")
    confidence: float = Field(80.0, gt=0, description="weight of a watch against a video not watched")
    regularisation: float = Field(200.0, gt=0, description="weight of the vectors' squared length")
    weights: WatchWeights = Field(default_factory=WatchWeights)
    seed: int = Field(0, description="of the first vectors")


@dataclass(frozen=True)
class AlsFactors:
    """`videos` [videos, factors] float32 (zeros where nobody watched), `gram` [factors, factors] float32: their inner
    products plus the regularisation, which every viewer's equations share."""

    videos: Float32
    gram: Float32
    config: AlsConfig

    def viewers(self, indptr: Int64, video: Int32, signal: Array, time_ms: Int64) -> Float32:
        """The vectors of viewers with these watches, oldest first for each; videos unknown here count for nothing.
        The same bits for one viewer as for many. [viewers, factors] float32"""
        weight = np.float32(self.config.confidence) * self.config.weights.of(indptr, signal, time_ms)
        known = (video >= 0) & (video < len(self.videos))
        weight, video = np.where(known, weight, np.float32(0)), np.where(known, video, 0)
        vectors = np.zeros((len(indptr) - 1, self.videos.shape[1]), np.float32)
        if len(self.videos) == 0:
            return vectors
        _solve(indptr, video, weight, self.videos, self.gram, vectors, self.config.fold_in_steps)
        return vectors

    def to_bytes(self) -> bytes:
        """An npz archive."""
        return pack({"videos": self.videos, "gram": self.gram}, {"config": self.config.model_dump()})

    @classmethod
    def from_bytes(cls, raw: bytes) -> "AlsFactors":
        """What `to_bytes` wrote."""
        arrays, document = unpack(raw)
        return cls(arrays["videos"], arrays["gram"], AlsConfig(**document["config"]))


@njit(cache=True, fastmath={"reassoc", "contract"})
def _apply(gram, other, column, weight, start, stop, x, out):
    """out = (gram + sum of weight * other[column] other[column]^T) x"""
    out[:] = 0
    for i in range(len(x)):
        for j in range(len(x)):
            out[j] += gram[i, j] * x[i]
    for k in range(start, stop):
        y = other[column[k]]
        product = np.float32(0)
        for j in range(len(x)):
            product += y[j] * x[j]
        product *= weight[k]
        for j in range(len(x)):
            out[j] += product * y[j]


@njit(cache=True, fastmath={"reassoc", "contract"})
def _solve(indptr, column, weight, other, gram, vectors, steps):
    """Steps of conjugate gradients from `vectors` [n, f] towards (gram + sum w y y^T) x = sum w y (Takacs et al.,
    2011)."""
    f = vectors.shape[1]
    residual, product = np.empty(f, np.float32), np.empty(f, np.float32)
    for u in range(len(indptr) - 1):
        start, stop, x = indptr[u], indptr[u + 1], vectors[u]
        _apply(gram, other, column, weight, start, stop, x, residual)
        residual[:] = -residual
        for k in range(start, stop):
            residual += weight[k] * other[column[k]]
        direction = residual.copy()
        length = np.sum(residual * residual)
        for _ in range(steps):
            if length < _TINY:
                break
            _apply(gram, other, column, weight, start, stop, direction, product)
            step = length / np.sum(direction * product)
            x += step * direction
            residual -= step * product
            shorter = np.sum(residual * residual)
            direction[:] = residual + (shorter / length) * direction
            length = shorter


def fit_als(watches: Interactions, videos: int, config: AlsConfig, start: Float32 | None = None) -> AlsFactors:
    """Factors of the videos that fit sum w (1 - x y)^2 + sum over all (x y)^2 + r (|x|^2 + |y|^2) best, w being
    confidence x weight of a watch; from random ones, or from `start` [<= videos, factors] where that is not zero."""
    weight = np.float32(config.confidence) * config.weights.of(watches.indptr, watches.signal, watches.time_ms)
    order = np.argsort(watches.video, kind="stable")
    by_video = np.concatenate([[0], np.cumsum(np.bincount(watches.video, minlength=videos))]).astype(np.int64)
    viewer, video_weight = watches.viewer()[order], weight[order]
    rng = np.random.default_rng(config.seed)
    y = (0.1 * rng.standard_normal((videos, config.factors))).astype(np.float32)
    if start is not None:
        known = np.flatnonzero(start.any(axis=1))
        y[known] = start[known]
    y[np.bincount(watches.video, weight, minlength=videos) == 0] = 0
    x = np.zeros((watches.viewers, config.factors), np.float32)
    for _ in range(config.rounds):
        _solve(watches.indptr, watches.video, weight, y, _gram(y, config), x, config.steps)
        _solve(by_video, viewer, video_weight, x, _gram(x, config), y, config.steps)
    return AlsFactors(y, _gram(y, config), config)


def no_factors() -> AlsFactors:
    """Factors of no video, which resemble nothing."""
    config = AlsConfig(factors=1)
    return AlsFactors(np.zeros((0, 1), np.float32), _gram(np.zeros((0, 1), np.float32), config), config)


def _gram(vectors: Float32, config: AlsConfig) -> Float32:
    return (vectors.T @ vectors + config.regularisation * np.eye(vectors.shape[1])).astype(np.float32)


SIMILARITIES = ("als_score", "als_cosine", "als_nearest")


def als_similarity(
    als: AlsFactors, owner: Array, video: Array, signal: Array, time_ms: Array, length: Array, candidate: Array
) -> Float32:
    """How candidates [n] agree with histories [viewers, H], oldest first and `length` [viewers] long: the viewer's
    score of the candidate, its cosine, and the candidate's best cosine with a positive watch (0 without one).
    `owner` [n] names each candidate's history; what came after the fit resembles nothing. [n, 3] float32"""
    inside = np.arange(video.shape[1]) < length[:, None]
    indptr = np.concatenate([[0], np.cumsum(inside.sum(axis=1))]).astype(np.int64)
    past, marks = video[inside].astype(np.int32), signal[inside]
    viewers = als.viewers(indptr, past, marks, time_ms[inside])
    out = np.zeros((len(candidate), len(SIMILARITIES)), np.float32)
    positive = (marks & POSITIVE) > 0
    _similarity(als.videos, viewers, indptr, past, positive, owner, candidate, _lengths(als.videos), out)
    return out


def _lengths(vectors: Float32) -> Float32:
    return np.asarray(np.sqrt(np.einsum("ij,ij->i", vectors, vectors)), np.float32)


@njit(cache=True, fastmath={"reassoc", "contract"})
def _similarity(vectors, viewers, indptr, past, positive, owner, candidate, lengths, out):
    for i in range(len(candidate)):
        if candidate[i] >= len(vectors) or lengths[candidate[i]] == 0:
            continue
        y, x = vectors[candidate[i]], viewers[owner[i]]
        out[i, 0] = np.sum(x * y)
        out[i, 1] = out[i, 0] / (lengths[candidate[i]] * max(np.sqrt(np.sum(x * x)), np.float32(1e-9)))
        for k in range(indptr[owner[i]], indptr[owner[i] + 1]):
            if positive[k] and past[k] < len(vectors) and lengths[past[k]] > 0:
                cosine = np.sum(vectors[past[k]] * y) / (lengths[past[k]] * lengths[candidate[i]])
                out[i, 2] = max(out[i, 2], cosine)
