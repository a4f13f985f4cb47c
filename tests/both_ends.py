"""Whole files for each worker, from both ends of the queue.

The tests of real servers wait for much of their time, and while they do not they keep more than one core busy: two of
them at once disturb each other, and two that wait leave the machine idle. So one worker begins with them and the others
begin with the rest, until they meet.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

import pytest
from xdist.scheduler import LoadFileScheduling
from xdist.workermanage import WorkerController

ON_SERVERS = ("deploy", "integration")


class FromBothEnds(LoadFileScheduling):
    """The first worker takes files from the front, the others from the back."""

    def _assign_work_unit(self, node: WorkerController) -> None:
        if node is not self.nodes[0]:
            self.workqueue.move_to_end(next(reversed(self.workqueue)), last=False)
        super()._assign_work_unit(node)


def servers_first(items: Iterable[pytest.Item], tests: Path) -> Sequence[pytest.Item]:
    """The files of real servers in their order, then all others from the last to the first."""
    places: dict[Path, tuple[int, int]] = {}
    for item in items:
        other = item.path.relative_to(tests).parts[0] not in ON_SERVERS
        places.setdefault(item.path, (other, -len(places) if other else len(places)))
    return sorted(items, key=lambda item: places[item.path])
