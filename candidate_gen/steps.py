"""The steps of a tower's training as arrays: no loop over examples."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from candidate_gen.examples import first_watches, histories_at
from candidate_gen.interactions import Interactions, signal_weight
from candidate_gen.popularity import PopularityHistory, log_share, popularity_history
from candidate_gen.tower_config import TowerConfig
from candidate_gen.video_fields import age_grid
from core.arrays import Array, Float32, Float64, Int32, Int64
from core.room import blocks

# How well a watch went: no flag, long view, like, strong, skip, negative, click (the largest that applies).
OUTCOMES = (0.35, 1.0, 1.0, 1.0, 0.0, 0.0, 0.35)
POOL = 1 << 22  # examples that are shuffled together
ALL = slice(None)


@dataclass(frozen=True)
class Corpus:
    """What every step reads: the watches, and the videos' upload times and popularity."""

    watches: Interactions
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
        _weights(watches, config),
        len(upload_ms),
        config.popularity_step_ms,
        config.popularity_half_life_ms,
    )
    return Corpus(watches, upload_ms, popularity, log_share(popularity.counts))


def _weights(watches: Interactions, config: TowerConfig, at: Int64 | None = None) -> Float64:
    """The weights as examples of the watches at these positions, of all where None. [n] float64"""
    size = len(watches) if at is None else len(at)
    out = watches.room.empty(size, np.float64)
    for span in blocks(size):
        out[span] = signal_weight(watches.signal[span if at is None else at[span]], config.signal_weights)
    return out


def examples_of(corpus: Corpus, config: TowerConfig, from_ms: int, until_ms: int) -> Examples:
    """Each viewer's first watch of a video in [from_ms, until_ms), where its weight is above zero."""
    watches = corpus.watches
    keep = first_watches(watches, corpus.videos)
    for span in blocks(len(watches)):
        time_ms = watches.time_ms[span]
        keep[span] &= (time_ms >= from_ms) & (time_ms < until_ms)
        keep[span] &= signal_weight(watches.signal[span], config.signal_weights) > 0
    at, done = watches.room.empty(int(keep.sum()), np.int64), 0
    for span in blocks(len(watches)):
        found = np.flatnonzero(keep[span])
        at[done : done + len(found)] = found + span.start
        done += len(found)
    return Examples(at, _weights(watches, config, at))


def _slots(rows: Int64, videos: int) -> Int64:
    """The place of each video in `rows`, -1 where absent, and one more entry for the row -1. [videos + 1]"""
    slot = np.full(videos + 1, -1, np.int64)
    slot[rows] = np.arange(len(rows))
    return slot


@dataclass
class Place:
    """Where a pass stands: the generator's states when the pass and its pool began, the pool, and the batches of it
    that were taken."""

    began: dict[str, Any]
    pool_began: dict[str, Any]
    pool: int = 0
    batch: int = 0
    taken: int = 0


class StepMaker:
    """Makes steps: draws the order and the negatives, gathers the histories and works out the corrections.

    Examples beyond `pool` are drawn in blocks of neighbours, in random order, and shuffled within pools of blocks: a
    log of any size is read a pool at a time."""

    def __init__(
        self, corpus: Corpus, examples: Examples, config: TowerConfig, rng: np.random.Generator, pool: int = POOL
    ) -> None:
        self._corpus, self._examples, self._config, self._rng = corpus, examples, config, rng
        self._pool, self._block, self.place = pool, max(1, pool // 1024), self._fresh()
        mass = np.zeros(corpus.videos)
        for span in blocks(len(examples.at)):
            np.add.at(mass, corpus.watches.video[examples.at[span]], np.minimum(examples.weight[span], 1))
        self._share = mass / max(mass.sum(), 1e-9)
        drawn = self._share**config.negative_power
        drawn = drawn / drawn.sum() + 0.1 / corpus.videos
        self._drawn = drawn / drawn.sum()
        self._cumulative = np.cumsum(self._drawn)

    def epoch(self, place: Place | None = None) -> Iterator[Int64]:
        """The batches of one pass, indices into the examples: each enters with the probability of its weight. With
        `place` those that were left there; the generator is then as it was."""
        now = self.rng_state
        if place is not None:
            self._rng.bit_generator.state = place.began
        self.place = self._fresh()
        pools = self._pools()
        if place is not None:
            self.place, self._rng.bit_generator.state = replace(place), place.pool_began
        for at in range(self.place.pool, len(pools)):
            self.place.pool, self.place.pool_began = at, self.rng_state
            batches = self._batches(pools[at])
            if place is not None and at == place.pool:
                self._rng.bit_generator.state = now
            else:
                self.place.batch = 0
            for batch in batches[self.place.batch :]:
                self.place.batch += 1
                yield batch
            self.place.taken += sum(map(len, batches))
            if self.place.taken >= self._config.epoch_examples:
                break

    @property
    def rng_state(self) -> dict[str, Any]:
        """Where the generator stands."""
        return dict(self._rng.bit_generator.state)

    @rng_state.setter
    def rng_state(self, state: dict[str, Any]) -> None:
        self._rng.bit_generator.state = state

    def _fresh(self) -> Place:
        return Place(self.rng_state, self.rng_state)

    def _pools(self) -> list[Int64]:
        """The first examples of the blocks of each pool."""
        size = len(self._examples.at)
        if size <= self._pool:
            return [np.zeros(1, np.int64)]
        order = self._rng.permutation(-(-size // self._block)) * self._block
        each = self._pool // self._block
        return [np.sort(order[start : start + each]) for start in range(0, len(order), each)]

    def _batches(self, firsts: Int64) -> list[Int64]:
        """The batches of one pool."""
        size = len(self._examples.at)
        block = size if size <= self._pool else self._block
        index = np.concatenate([np.arange(first, min(first + block, size)) for first in firsts])
        kept = index[self._rng.random(len(index)) < self._examples.weight[index]]
        self._rng.shuffle(kept)
        kept = kept[: self._config.epoch_examples - self.place.taken]
        size = self._config.batch
        batches = [kept[start : start + size] for start in range(0, len(kept), size)]
        return batches[:-1] if len(batches) > 1 and len(batches[-1]) < size // 2 else batches

    def make(self, batch: Int64, own: slice = ALL) -> Step:
        """The step of these examples [n]; with `own` of some of them, beside the columns of all."""
        watches, videos = self._corpus.watches, self._corpus.videos
        everyone = watches.video[self._examples.at[batch]]
        copies = np.bincount(everyone, minlength=videos) + self._negatives()
        at, positive = self._examples.at[batch[own]], everyone[own]
        viewer, now = watches.viewer_of(at), watches.time_ms[at]
        past = histories_at(watches, viewer, now, at, self._config.history)
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
            correction=self._correction(copies, columns, len(batch)),
            hits=np.stack([who, column_of[past.video[who, when]]]),
            weight=self.weights(batch[own]),
            outcome=signal_weight(watches.signal[at], OUTCOMES).astype(np.float32),
        )

    def weights(self, batch: Int64) -> Float32:
        """What each example counts in the loss. [n] float32"""
        return np.maximum(self._examples.weight[batch], 1).astype(np.float32)

    def drawn(self) -> Int64:
        """Extra videos of a step. [negatives] int64"""
        drawn = np.searchsorted(self._cumulative, self._rng.random(self._config.negatives))
        return np.minimum(drawn, len(self._drawn) - 1)

    def expected(self, size: int) -> Float64:
        """How many copies of each video a step of so many examples has on average, beside its own. [videos] float64"""
        expected: Float64 = (size - 1) * self._share + self._config.negatives * self._drawn
        return expected

    def _negatives(self) -> Int64:
        """How often each video was drawn. [videos] int64"""
        return np.bincount(self.drawn(), minlength=len(self._drawn))

    def _correction(self, copies: Int64, columns: Int64, size: int) -> Float32:
        """log(copies / expected copies), the logQ correction of Yi et al. (2019) for a column that stands for all its
        copies; log(copies) when turned off. [columns]"""
        correction = np.log(copies[columns])
        if self._config.logq:
            correction = correction - np.log(self.expected(size)[columns])
        return correction.astype(np.float32)

    def _times(self, now_ms: Int64, columns: Int64) -> tuple[Float32, Int64, Int64]:
        """Popularity and age of the columns at each distinct step of time, and which step each example has."""
        popularity = self._corpus.popularity
        steps, time = np.unique(popularity.step(now_ms), return_inverse=True)
        began = popularity.start_ms + steps * popularity.step_ms
        age = age_grid(self._corpus.upload_ms[columns], began)
        return self._corpus.log_share[steps[:, None], columns], age, time


def _rows_in_play(scored: Array, watched: Int32) -> Int64:
    touched = scored.copy()
    touched[watched[watched >= 0]] = True
    return np.flatnonzero(touched)
