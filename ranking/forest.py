"""The trees of all heads as flat arrays, scored in one pass over uint8 codes."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Self

import numpy as np
from numba import njit

from core.arrays import Array, Float64, Int32, Int64
from core.errors import SchemaMismatch
from ranking.bins import Codes
from ranking.trees import MAX_CODE, Tree, parse_trees

_BLOCK = 1024  # rows at most in one block; its codes stay in the caches
_LANES = 64  # a block is a multiple of the widest vector of bytes
_GROUP = 4  # trees whose leaves are added together
_UNROLL = 2  # splits applied in one pass over a block


class Forest:
    """All heads' trees. Bit for bit the raw scores of LightGBM, on the codes it was trained on.

    A tree's leaves are numbered from left to right, and a row stands at a node when its number is
    that of the node's leftmost leaf. So a split is one vector operation on a block of rows: where a
    row's number is `here` and its code is above `threshold`, the number becomes `right`, the
    leftmost leaf of the right child. Splits come parents first; trees are padded to a multiple of 2
    with splits that no code passes.

    `head_start`: [heads + 1] first tree of each head; `split_start`, `leaf_start`: [trees + 1];
    `feature`: [splits] int32; `threshold`, `here`, `right`: [splits] uint8; `leaf_value`: [leaves]
    float64; `features`: the number of features.
    """

    def __init__(self, heads: Sequence[str], features: int, arrays: Mapping[str, Array]) -> None:
        self.heads = tuple(heads)
        self.features = features
        self.head_start: Int64 = arrays["head_start"]
        self.split_start: Int64 = arrays["split_start"]
        self.leaf_start: Int64 = arrays["leaf_start"]
        self.feature: Int32 = arrays["feature"]
        self.threshold: Codes = arrays["threshold"]
        self.here: Codes = arrays["here"]
        self.right: Codes = arrays["right"]
        self.leaf_value: Float64 = arrays["leaf_value"]
        self._check()

    @classmethod
    def compile(cls, models: Mapping[str, str], features: int) -> Self:
        """A forest from LightGBM model texts, one for each head, trained on `features` codes.

        Raises InputError for a text with categorical splits, linear leaves or over 256 leaves.
        """
        heads = [list(parse_trees(text)) for text in models.values()]
        return cls(tuple(models), features, _flatten(heads))

    @property
    def trees(self) -> int:
        """Number of trees over all heads."""
        return int(self.split_start.size - 1)

    def scores(self, codes: Codes) -> Float64:
        """Raw scores [rows, heads] float64 of `codes` [rows, features] uint8, in any layout.

        Raises SchemaMismatch when the number of features differs.
        """
        if codes.ndim != 2 or codes.shape[1] != self.features or codes.dtype != np.uint8:
            raise SchemaMismatch(
                f"The forest reads {self.features} uint8 codes a row and got {codes.dtype} of shape"
                f" {codes.shape}; use the bins of the same bundle."
            )
        scores = np.zeros((len(self.heads), codes.shape[0]), np.float64)
        _score(
            codes,
            (self.head_start, self.split_start, self.leaf_start),
            (self.feature, self.threshold, self.here, self.right),
            self.leaf_value,
            scores,
        )
        return scores.T

    def arrays(self) -> dict[str, Array]:
        """What the constructor needs beside the names of the heads."""
        names = ("head_start", "split_start", "leaf_start", "feature", "threshold", "here", "right")
        return {name: getattr(self, name) for name in (*names, "leaf_value")}

    def _check(self) -> None:
        """Refuse arrays that the unchecked loops could read past."""
        whole = (
            _covers(self.head_start, len(self.heads), self.split_start.size - 1)
            and _covers(self.split_start, self.trees, self.feature.size)
            and _covers(self.leaf_start, self.trees, self.leaf_value.size)
            and self.feature.size == self.threshold.size == self.here.size == self.right.size
            and not (self.split_start % _UNROLL).any()
            and (self.feature.size == 0 or 0 <= self.feature.min() <= self.feature.max() < self.features)
            and bool((np.diff(self.leaf_start) >= 1).all())
            and bool((self.right < np.repeat(np.diff(self.leaf_start), np.diff(self.split_start))).all())
        )
        if not whole:
            raise SchemaMismatch("The forest's arrays do not fit each other; train again.")


def _covers(start: Int64, parts: int, total: int) -> bool:
    """Whether `start` divides range(total) into `parts` consecutive parts."""
    return (
        start.size == parts + 1 and int(start[0]) == 0 and int(start[-1]) == total and bool((np.diff(start) >= 0).all())
    )


def _flatten(heads: Sequence[Sequence[Tree]]) -> dict[str, Array]:
    """The forest's arrays."""
    trees = [tree for head in heads for tree in head]
    padded = [list(_padded(tree)) for tree in trees]
    splits = np.array([split for tree in padded for split in tree], np.int64).reshape(-1, 4)
    leaves = [leaf for tree in trees for leaf in tree.leaf_values]
    return {
        "head_start": _starts([len(head) for head in heads]),
        "split_start": _starts([len(tree) for tree in padded]),
        "leaf_start": _starts([len(tree.leaf_values) for tree in trees]),
        "feature": splits[:, 0].astype(np.int32),
        "threshold": splits[:, 1].astype(np.uint8),
        "here": splits[:, 2].astype(np.uint8),
        "right": splits[:, 3].astype(np.uint8),
        "leaf_value": np.array(leaves, np.float64),
    }


def _padded(tree: Tree) -> Iterator[tuple[int, int, int, int]]:
    """A tree's splits, then such that no code passes, up to a multiple of the unrolling."""
    yield from tree.splits
    for _ in range(-len(tree.splits) % _UNROLL):
        yield (0, MAX_CODE, 0, 0)


def _starts(sizes: Sequence[int]) -> Int64:
    """Where each part begins, and where the last one ends."""
    return np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)


@njit(cache=True, nogil=True)
def _walk(
    block: Codes,
    splits: tuple[Int32, Codes, Codes, Codes],
    first: int,
    end: int,
    leaf: Codes,
) -> None:
    """Write to `leaf` [rows] what each row of `block` [features, rows] reaches in one tree."""
    feature, threshold, here, right = splits
    leaf[:] = 0
    for s in range(first, end, _UNROLL):
        code_a, code_b = block[feature[s]], block[feature[s + 1]]
        threshold_a, threshold_b = threshold[s], threshold[s + 1]
        here_a, here_b = here[s], here[s + 1]
        right_a, right_b = right[s], right[s + 1]
        for r in range(leaf.size):
            at = leaf[r]
            at = right_a if (at == here_a) & (code_a[r] > threshold_a) else at
            at = right_b if (at == here_b) & (code_b[r] > threshold_b) else at
            leaf[r] = at


@njit(cache=True, nogil=True)
def _add(leaf: Codes, values: Float64, start: Int64, scores: Float64) -> None:
    """Add to `scores` [rows] the leaf values of a group of trees, in the order of the trees."""
    if start.size < _GROUP:
        for tree in range(start.size):
            a = values[start[tree] :]
            for r in range(scores.size):
                scores[r] += a[leaf[tree, r]]
        return
    a, b, c, d = values[start[0] :], values[start[1] :], values[start[2] :], values[start[3] :]
    leaf_a, leaf_b, leaf_c, leaf_d = leaf[0], leaf[1], leaf[2], leaf[3]
    for r in range(scores.size):
        sum_ab = scores[r] + a[leaf_a[r]] + b[leaf_b[r]]
        scores[r] = sum_ab + c[leaf_c[r]] + d[leaf_d[r]]


@njit(cache=True, nogil=True)
def _score(
    codes: Codes,
    starts: tuple[Int64, Int64, Int64],
    splits: tuple[Int32, Codes, Codes, Codes],
    leaf_value: Float64,
    scores: Float64,
) -> None:
    """Write to `scores` [heads, rows] the summed leaf values of `codes` [rows, features]."""
    head_start, split_start, leaf_start = starts
    rows, features = codes.shape
    blocks = max(1, (rows + _BLOCK - 1) // _BLOCK)
    width = ((rows + blocks - 1) // blocks + _LANES - 1) // _LANES * _LANES
    block = np.zeros((features, width), np.uint8)
    leaf = np.empty((_GROUP, width), np.uint8)
    total = np.empty(width, np.float64)
    for begin in range(0, rows, max(width, 1)):
        size = min(width, rows - begin)
        for f in range(features):
            for r in range(size):
                block[f, r] = codes[begin + r, f]
        for head in range(head_start.size - 1):
            total[:] = 0.0
            end = head_start[head + 1]
            for group in range(head_start[head], end, _GROUP):
                behind = min(group + _GROUP, end)
                for t in range(group, behind):
                    _walk(block, splits, split_start[t], split_start[t + 1], leaf[t - group])
                _add(leaf, leaf_value, leaf_start[group:behind], total)
            scores[head, begin : begin + size] = total[:size]
