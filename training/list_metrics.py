"""Metrics of served lists beside recall: how much of the catalogue they use, how unusual it is, and who profits."""

import numpy as np

from core.arrays import Array


def coverage(lists: Array, videos: int) -> float:
    """Share of the catalogue that is in at least one list; `lists` [viewers, k] video rows, -1 for none."""
    return float(len(np.unique(lists[lists >= 0])) / videos)


def novelty(lists: Array, watches: Array) -> float:
    """Mean surprise of the listed videos in bits: -log2 of a video's share of all watches [videos], each counted once
    more so that a video without any has a share (Vargas and Castells, RecSys 2011)."""
    share = (watches + 1) / (watches + 1).sum()
    return float(-np.log2(share[lists[lists >= 0]]).mean())


def creator_gini(lists: Array, author: Array, authors: int) -> float:
    """Gini index of the places that creators get: 0 when all `authors` get as many, near 1 when one gets all; `author`
    [videos] from 0."""
    places = np.sort(np.bincount(author[lists[lists >= 0]], minlength=authors)).astype(np.float64)
    rank = np.arange(1, authors + 1)
    return float(((2 * rank - authors - 1) * places).sum() / (authors * places.sum()))
