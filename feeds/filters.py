"""Filters: each says which candidates may stay, from the query and the candidates' columns alone."""

import numpy as np

from core.arrays import Bool, Int32
from core.batch import CandidateBatch
from core.query import Query
from core.video_table import PUBLIC


def _absent(values: Int32, banned: Int32) -> Bool:
    if not len(banned):
        return np.ones(len(values), np.bool_)
    return np.isin(values, banned, invert=True)


class DuplicateFilter:
    """Keeps the first of candidates that are the same video."""

    name = "duplicate"

    def keep(self, query: Query, batch: CandidateBatch) -> Bool:
        """[n] bool"""
        first = np.zeros(len(batch), np.bool_)
        first[np.unique(batch.rows, return_index=True)[1]] = True
        return first


class RemovedFilter:
    """Drops what is not public, or not in the viewer's region: removed, private, friends-only and moderated videos."""

    name = "removed"

    def keep(self, query: Query, batch: CandidateBatch) -> Bool:
        """[n] bool"""
        return np.asarray(batch["visibility"] == PUBLIC)


class ServedFilter:
    """Drops what this session has served already."""

    name = "served_in_session"

    def keep(self, query: Query, batch: CandidateBatch) -> Bool:
        """[n] bool"""
        return _absent(batch.rows, query.served)


class SeenFilter:
    """Drops what the viewer was shown before, on any device."""

    name = "seen"

    def keep(self, query: Query, batch: CandidateBatch) -> Bool:
        """[n] bool"""
        return _absent(batch.rows, query.seen)


class OwnFilter:
    """Drops the viewer's own videos."""

    name = "own"

    def keep(self, query: Query, batch: CandidateBatch) -> Bool:
        """[n] bool"""
        if not query.own_author:
            return np.ones(len(batch), np.bool_)
        return np.asarray(batch["author"] != query.own_author)


class BlockedAuthorFilter:
    """Drops authors whom the viewer blocked, or who blocked the viewer."""

    name = "blocked_author"

    def keep(self, query: Query, batch: CandidateBatch) -> Bool:
        """[n] bool"""
        return _absent(batch["author"], query.blocked_authors)


class HiddenAuthorFilter:
    """Drops authors whom the viewer hid from the feed."""

    name = "hidden_author"

    def keep(self, query: Query, batch: CandidateBatch) -> Bool:
        """[n] bool"""
        return _absent(batch["author"], query.hidden_authors)
