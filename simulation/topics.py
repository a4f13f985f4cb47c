"""Topics: centroids in R^16 and how much each is wanted."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from simulation.law import DIMENSIONS, GROUPS, TOPICS, Law, topic_count
from simulation.streams import stream


@dataclass(frozen=True)
class Topics:
    """What a topic is: centroids [topics, 16] of unit length, log demand [clusters, 24], ageing [topics]."""

    centroids: NDArray[np.float32]
    log_demand: NDArray[np.float64]
    ageing_per_day: NDArray[np.float32]

    def group(self, topic: NDArray[np.int16]) -> NDArray[np.int16]:
        """The group of each topic."""
        answer: NDArray[np.int16] = (topic % GROUPS).astype(np.int16)
        return answer


def draw_topics(seed: int, law: Law) -> Topics:
    """Topics of the world; within a group every pair has cosine 0.5 exactly."""
    rng = stream(seed, "topics")
    heads = np.linalg.qr(rng.standard_normal((DIMENSIONS, GROUPS)))[0].T
    centroids = np.zeros((topic_count(law), DIMENSIONS))
    for group, head in enumerate(heads):
        basis = np.column_stack([head, rng.standard_normal((DIMENSIONS, TOPICS // GROUPS))])
        tails = np.linalg.qr(basis)[0].T[1:]
        centroids[group:TOPICS:GROUPS] = np.sqrt(0.5) * (head + tails)
    for late in range(TOPICS, len(centroids)):
        fresh = rng.standard_normal(DIMENSIONS)
        centroids[late] = fresh / np.linalg.norm(fresh)
    ageing = np.zeros(len(centroids), np.float32)
    ageing[rng.permutation(len(centroids))[: len(centroids) // 2]] = law.ageing
    return Topics(centroids.astype(np.float32), _log_demand(rng, law), ageing)


def _log_demand(rng: np.random.Generator, law: Law) -> NDArray[np.float64]:
    """Log weight of each topic in each taste cluster; the last cluster wants what the others do not."""
    zipf = -law.zipf_exponent * np.log(np.arange(1, TOPICS + 1))
    demand = np.zeros((law.taste_clusters, TOPICS))
    for cluster in range(law.taste_clusters):
        demand[cluster, rng.permutation(TOPICS)] = zipf * (1.0 if law.taste_clusters == 1 else 2.0)
    if law.minority_share > 0:
        shared = np.logaddexp.reduce(demand[:-1], axis=0)
        demand[-1, np.argsort(shared)] = 2.0 * zipf
    return demand
