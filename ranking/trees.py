"""LightGBM's model text, read without LightGBM: trees with leaves numbered from left to right."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from core.errors import InputError

MAX_LEAVES = 256  # a leaf's number is a byte
MAX_CODE = 255
_ZERO_IS_MISSING = 1  # bits 2 and 3 of LightGBM's decision_type

Split = tuple[int, int, int, int]


@dataclass(frozen=True)
class Tree:
    """One tree over integer codes.

    `splits`: (feature, threshold, here, right), parents first; a code above the threshold goes
    right; `here` and `right` are the leftmost leaves of the node and of its right child.
    `leaf_values`: from left to right.
    """

    splits: tuple[Split, ...]
    leaf_values: tuple[float, ...]


def parse_trees(text: str) -> Iterator[Tree]:
    """The trees of one LightGBM model text, in order.

    Raises InputError for what is not supported: categorical splits, linear leaves, over 256 leaves,
    averaged trees, several classes.
    """
    header, *blocks = text.split("\nTree=")
    if "\nnum_tree_per_iteration=1\n" not in header or "\naverage_output\n" in header:
        raise InputError("A head must be one boosted LightGBM model with one score; train it again.")
    for block in blocks:
        yield _tree(dict(_pairs(block)))


def _pairs(block: str) -> Iterator[tuple[str, str]]:
    """The `name=value` lines of a tree, up to the empty line behind it."""
    for line in block.split("\n")[1:]:
        name, equals, value = line.partition("=")
        if not equals:
            return
        yield name, value


def _tree(fields: dict[str, str]) -> Tree:
    """A tree with its leaves renumbered."""
    leaves = [float(value) for value in fields["leaf_value"].split()]
    if len(leaves) > MAX_LEAVES:
        raise InputError(f"A tree has {len(leaves)} leaves and the limit is {MAX_LEAVES}.")
    if int(fields.get("num_cat", "0")) or int(fields.get("is_linear", "0")):
        raise InputError("A tree has categorical splits or linear leaves; train on integer codes.")
    if len(leaves) == 1:
        return Tree((), tuple(leaves))
    if any(int(kind) >> 2 & 3 == _ZERO_IS_MISSING for kind in fields["decision_type"].split()):
        raise InputError("A tree treats code 0 as missing; train with zero_as_missing=False.")
    features = [int(value) for value in fields["split_feature"].split()]
    thresholds = [_code(float(value)) for value in fields["threshold"].split()]
    left = [int(value) for value in fields["left_child"].split()]
    right = [int(value) for value in fields["right_child"].split()]
    order = _preorder(left, right)
    numbers = {node: number for number, node in enumerate(n for n in order if n < 0)}
    leftmost = dict(numbers)
    for node in reversed([n for n in order if n >= 0]):
        leftmost[node] = leftmost[left[node]]
    splits = tuple((features[n], thresholds[n], leftmost[n], leftmost[right[n]]) for n in order if n >= 0)
    return Tree(splits, tuple(leaves[~node] for node in numbers))


def _code(threshold: float) -> int:
    """The greatest code that goes left."""
    if threshold < 0:
        raise InputError(f"A tree splits at {threshold} and codes start at 0; train on bin codes.")
    return min(MAX_CODE, math.floor(threshold))


def _preorder(left: list[int], right: list[int]) -> list[int]:
    """Nodes (leaves are negative) from the root, each before its left, then its right subtree."""
    order, waiting = [], [0]
    while waiting:
        node = waiting.pop()
        order.append(node)
        if node >= 0:
            waiting += [right[node], left[node]]
    return order
