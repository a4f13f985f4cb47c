"""A test whose stores belong to one event loop."""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest

Run = Callable[[Coroutine[Any, Any, Any]], Any]


class OneLoop:
    """Inherit it: `run(coroutine)` runs all of a test on one event loop."""

    @pytest.fixture
    def run(self) -> Iterator[Run]:
        with asyncio.Runner() as runner:
            yield runner.run
            runner.run(self.close())

    async def close(self) -> None:
        """Let go of what the test opened."""
