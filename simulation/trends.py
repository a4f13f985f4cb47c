"""Trends: topics that burst in a region, rise in hours and fade in days."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from simulation.law import DAY_MS, REGIONS, TOPICS, Law
from simulation.streams import stream


@dataclass(frozen=True)
class Trends:
    """Bursts known so far, in the order of days."""

    region: NDArray[np.int64]
    topic: NDArray[np.int64]
    begin_ms: NDArray[np.int64]

    def with_day(self, seed: int, law: Law, day: int, day_ms: int) -> "Trends":
        """These bursts and those that begin on this day; a burst every two days in each region on average."""
        rng = stream(seed, "trends", day + 1000)
        counts = rng.poisson(1.0 / law.burst_gap_days, REGIONS)
        total = int(counts.sum())
        begin = day_ms + (rng.random(total) * DAY_MS).astype(np.int64)
        return Trends(
            np.concatenate([self.region, np.repeat(np.arange(REGIONS), counts)]),
            np.concatenate([self.topic, rng.integers(TOPICS, size=total)]),
            np.concatenate([self.begin_ms, begin]),
        )

    def at(self, law: Law, topics: int, now_ms: int) -> NDArray[np.float32]:
        """Strength of each topic's trend, peak 1: [regions, topics]."""
        age = (now_ms - self.begin_ms).astype(np.float64)
        fade = 0.5 ** ((age - law.burst_rise_ms) / law.burst_half_life_ms)
        strength = np.where(age < 0, 0.0, np.where(age < law.burst_rise_ms, age / law.burst_rise_ms, fade))
        answer = np.zeros((REGIONS, topics))
        np.add.at(answer, (self.region, self.topic), strength)
        return answer.astype(np.float32)


NO_TRENDS = Trends(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.int64))
