"""How long-running work reports itself: a named step, how far it is, of how much."""

from collections.abc import Callable

Progress = Callable[[str, int, int], None]


def silent(step: str, done: int, total: int) -> None:
    """Reports to nobody."""
