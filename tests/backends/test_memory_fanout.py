"""Inboxes and the ledger inside the process keep their contracts."""

import itertools

from backends.memory_fanout import MemoryInboxes, MemoryLedger
from core.fanout import FanoutLedger, Inboxes
from tests.contracts.fanout import InboxesContract, LedgerContract


class OnAHandClock:
    now_ms = 1_000_000

    async def wait(self, ms: int) -> None:
        self.now_ms += ms


class TestMemoryInboxes(OnAHandClock, InboxesContract):
    async def open_inboxes(self) -> Inboxes:
        return MemoryInboxes(lambda: self.now_ms)


class TestMemoryLedger(OnAHandClock, LedgerContract):
    async def open_ledger(self) -> FanoutLedger:
        numbers = itertools.count(1)
        return MemoryLedger(lambda: self.now_ms, lambda: f"epoch{next(numbers)}")
