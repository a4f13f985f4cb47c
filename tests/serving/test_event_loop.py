"""The loop that serves and works."""

import asyncio
import sys

import pytest

from serving.event_loop import run


async def _loop() -> str:
    return type(asyncio.get_running_loop()).__module__.partition(".")[0]


def test_serving_and_work_run_on_libuv():
    pytest.importorskip("uvloop", reason="uvloop does not exist for this system")
    assert run(_loop()) == "uvloop"


def test_without_uvloop_the_standard_loop_does(monkeypatch):
    monkeypatch.setitem(sys.modules, "uvloop", None)
    assert run(_loop()) == "asyncio"
