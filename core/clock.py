"""Time is passed in: a Clock gives the present as Unix milliseconds."""

import time
from collections.abc import Callable

Clock = Callable[[], int]


def system_clock() -> int:
    """The machine's time, Unix ms."""
    return time.time_ns() // 1_000_000
