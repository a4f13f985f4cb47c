"""The processes that train one model together: each has a part of every step's examples."""

from collections.abc import Iterable
from typing import Protocol

import torch
from torch import Tensor


class Peers(Protocol):
    """This process is number `rank` of `size`."""

    @property
    def rank(self) -> int:
        """From 0."""
        ...

    @property
    def size(self) -> int:
        """How many there are."""
        ...

    def add_up(self, tensors: Iterable[Tensor]) -> None:
        """Replace every tensor by its sum over all processes."""
        ...


class Alone:
    """One process."""

    rank, size = 0, 1

    def add_up(self, tensors: Iterable[Tensor]) -> None:
        """Nothing to add."""


class Together:
    """The processes of torch's default group."""

    def __init__(self) -> None:
        self.rank, self.size = torch.distributed.get_rank(), torch.distributed.get_world_size()

    def add_up(self, tensors: Iterable[Tensor]) -> None:
        """One sum for each tensor, in the same order everywhere."""
        for tensor in tensors:
            torch.distributed.all_reduce(tensor)


def share_of(size: int, peers: Peers) -> slice:
    """Which of a step's examples are this process's."""
    return slice(size * peers.rank // peers.size, size * (peers.rank + 1) // peers.size)
