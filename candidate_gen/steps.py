"""The steps of a tower's training as arrays: no loop over examples."""

from dataclasses import dataclass

import numpy as np

from candidate_gen.examples import first_watches, histories_at
from candidate_gen.interactions import Interactions, signal_weight
from candidate_gen.popularity import PopularityHistory, log_share, popularity_history
from candidate_gen.tower_config import TowerConfig
from candidate_gen.video_fields import age_buckets
from core.arrays import Array, Float32, Float64, Int32, Int64

# How well a watch went: no flag, long view, like, strong, skip, negative, click (the largest that applies).
OUTCOMES = (0.35, 1.0, 1.0, 1.0, 0.0, 0.0, 0.35)


@dataclass(frozen=True)
class Corpus:
    """What every step reads: the watches, the viewer of each, and the videos' upload times and popularity."""

    watches: Interactions
    viewer: Int32
    upload_ms: Int64
    popularity: PopularityHistory
    log_share: Float32

    @property
    def videos(self) -> int:
        """How many rows the video table has."""
        return len(self.upload_ms)


@dataclass(frozen=True)
class Examples:
    """Which watches are examples: positions `at` [n] int64, and `weight` [n] float64."""

    at: Int64
    weight: Float64


@dataclass(frozen=True)
class Step:
    """One step over n examples: `rows` [m] videos in play, of which `columns` [c] are scored.

    `history`, `known`, `signal`, `gap` [n, length] and `profile` [n, fields] describe the viewers; `history` and
    `columns` index `rows`. `log_share`, `age` [times, c] with `time` [n]; `positive` [n] is a column, `repeats` [n] its
    other copies; `correction` [c] is added to the scores; `hits` [2, x] are the pairs a viewer has watched.
    `outcome` [n] says how well the watch went, 0 to 1."""

    rows: Int64
    history: Int64
    known: Array
    signal: Int64
    gap: Int64
    profile: Int64
    columns: Int64
    log_share: Float32
    age: Int64
    time: Int64
    positive: Int64
    repeats: Float32
    correction: Float32
    hits: Int64
    weight: Float32
    outcome: Float32


def corpus_of(watches: Interactions, upload_ms: Int64, config: TowerConfig) -> Corpus:
    """The corpus of these watches over the videos of `upload_ms` [videos]."""
    popularity = popularity_history(
        watches.video,
        watches.time_ms,
        signal_weight(watches.signal, config.signal_weights),
        len(upload_ms),
        config.popularity_step_ms,
        config.popularity_half_life_ms,
    )
    shares = log_share(popularity.counts)
    return Corpus(watches, watches.viewer(), upload_ms, popularity, shares)


def examples_of(corpus: Corpus, config: TowerConfig, from_ms: int, until_ms: int) -> Examples:
    """Each viewer's first watch of a video in [from_ms, until_ms), where its weight is above zero."""
    watches = corpus.watches
    weight = signal_weight(watches.signal, config.signal_weights)
    inside = (watches.time_ms >= from_ms) & (watches.time_ms < until_ms)
    at = np.flatnonzero(inside & (weight > 0) & first_watches(watches, corpus.videos))
    return Examples(at, weight[at])


def _slots(rows: Int64, videos: int) -> Int64:
    """The place of each video in `rows`, -1 where absent, and one more entry for the row -1. [videos + 1]"""
    slot = np.full(videos + 1, -1, np.int64)
    slot[rows] = np.arange(len(rows))
    return slot


class StepMaker:
    """Makes steps: draws the negatives, gathers the histories and works out the corrections."""

    def __init__(self, corpus: Corpus, examples: Examples, config: TowerConfig, rng: np.random.Generator) -> None:
        self._corpus, self._examples, self._config, self._rng = corpus, examples, config, rng
        kept = np.minimum(examples.weight, 1)
        mass = np.bincount(corpus.watches.video[examples.at], kept, minlength=corpus.videos)
        self._share = mass / max(mass.sum(), 1e-9)
        drawn = self._share**config.negative_power
        drawn = drawn / drawn.sum() + 0.1 / corpus.videos
        self._drawn = drawn / drawn.sum()
        self._cumulative = np.cumsum(self._drawn)

    def epoch(self) -> list[Int64]:
        """The batches of one pass, indices into the examples: each enters with the probability of its weight."""
        kept = np.flatnonzero(self._rng.random(len(self._examples.at)) < self._examples.weight)
        self._rng.shuffle(kept)
        kept = kept[: self._config.epoch_examples]
        size = self._config.batch
        batches = [kept[start : start + size] for start in range(0, len(kept), size)]
        return batches[:-1] if len(batches) > 1 and len(batches[-1]) < size // 2 else batches

    def make(self, batch: Int64) -> Step:
        """The step of these examples [n]."""
        corpus, watches, videos = self._corpus, self._corpus.watches, self._corpus.videos
        at = self._examples.at[batch]
        viewer, now = corpus.viewer[at], watches.time_ms[at]
        past = histories_at(watches, viewer, now, at, self._config.history)
        positive = watches.video[at]
        copies = np.bincount(positive, minlength=videos) + self._negatives()
        columns = np.flatnonzero(copies)
        rows = _rows_in_play(copies > 0, past.video)
        column_of, slot = _slots(columns, videos), _slots(rows, videos)
        who, when = np.nonzero(column_of[past.video] >= 0)
        log_share, age, time = self._times(now, columns)
        return Step(
            rows=rows,
            history=np.maximum(slot[past.video], 0),
            known=past.video >= 0,
            signal=past.signal.astype(np.int64),
            gap=past.gap,
            profile=watches.profile[viewer].astype(np.int64),
            columns=slot[columns],
            log_share=log_share,
            age=age,
            time=time,
            positive=column_of[positive],
            repeats=(copies[positive] - 1).astype(np.float32),
            correction=self._correction(copies, columns, len(at)),
            hits=np.stack([who, column_of[past.video[who, when]]]),
            weight=np.maximum(self._examples.weight[batch], 1).astype(np.float32),
            outcome=signal_weight(watches.signal[at], OUTCOMES).astype(np.float32),
        )

    def _negatives(self) -> Int64:
        """How often each video was drawn. [videos] int64"""
        drawn = np.searchsorted(self._cumulative, self._rng.random(self._config.negatives))
        return np.bincount(np.minimum(drawn, len(self._drawn) - 1), minlength=len(self._drawn))

    def _correction(self, copies: Int64, columns: Int64, size: int) -> Float32:
        """log(copies / expected copies), the logQ correction of Yi et al. (2019) for a column that stands for all its
        copies; log(copies) when turned off. [columns]"""
        correction = np.log(copies[columns])
        if self._config.logq:
            expected = (size - 1) * self._share + self._config.negatives * self._drawn
            correction = correction - np.log(expected[columns])
        return correction.astype(np.float32)

    def _times(self, now_ms: Int64, columns: Int64) -> tuple[Float32, Int64, Int64]:
        """Popularity and age of the columns at each distinct step of time, and which step each example has."""
        popularity = self._corpus.popularity
        steps, time = np.unique(popularity.step(now_ms), return_inverse=True)
        began = popularity.start_ms + steps * popularity.step_ms
        age = age_buckets(self._corpus.upload_ms[columns], began[:, None])
        return self._corpus.log_share[steps[:, None], columns], age, time


def _rows_in_play(scored: Array, watched: Int32) -> Int64:
    touched = scored.copy()
    touched[watched[watched >= 0]] = True
    return np.flatnonzero(touched)
