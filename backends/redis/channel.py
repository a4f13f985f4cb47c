"""One connection to one Redis that all requests of a process share: commands go out at once, answers come in order.

The driver opens it (address, TLS, user, database); from then on hiredis packs and parses and nothing stands between.
A request through the driver's pool costs its caller five times the processor time of the exchange itself.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final

import hiredis
from redis import exceptions as R

_NOTHING: Final = object()
_LONG: Final = 1_000


class Channel:
    """Opens when it is first used and again after it broke; raises the driver's errors.

    What was sent when the connection broke may have been carried out. A caller that gives up leaves the others alone.
    """

    def __init__(self, made: Callable[[], Any], answer_within_s: float) -> None:
        self._made, self._within_s = made, answer_within_s
        self._opening = asyncio.Lock()
        self._open: _Exchange | None = None

    async def run(self, commands: Sequence[tuple[Any, ...]]) -> list[Any]:
        """The answers to the commands in order; an error among them is raised after the last has come."""
        exchange = self._open
        if exchange is None or not exchange.usable():
            exchange = await self._opened()
        answers = await exchange.send(commands)
        for answer in answers:
            if isinstance(answer, R.ResponseError):
                raise answer
        return answers

    async def close(self) -> None:
        """Let go of the connection."""
        exchange, self._open = self._open, None
        if exchange is not None:
            exchange.end()

    async def _opened(self) -> "_Exchange":
        async with self._opening:
            if self._open is None or not self._open.usable():
                connection = self._made()
                await connection.connect()
                self._open = _Exchange(connection, self._within_s)
            return self._open


class _Exchange(asyncio.Protocol):
    """Takes an open connection over from the driver."""

    def __init__(self, connection: Any, within_s: float) -> None:
        self._connection = connection  # it closes its socket when nobody holds it
        self._loop = asyncio.get_running_loop()
        self._within_s = within_s
        self._watching = False
        self._late = False
        self._reader: Any = hiredis.Reader(
            protocolError=R.InvalidResponse, replyError=R.ResponseError, notEnoughData=_NOTHING
        )
        self._waiting: deque[tuple[asyncio.Future[list[Any]], list[Any], int, float]] = deque()
        self._transport: Any = connection._writer.transport
        self._transport.set_protocol(self)

    def usable(self) -> bool:
        """Whether commands can go out here and now."""
        return not self._transport.is_closing() and self._loop is asyncio.get_running_loop()

    def send(self, commands: Sequence[tuple[Any, ...]]) -> asyncio.Future[list[Any]]:
        """All of their answers."""
        future: asyncio.Future[list[Any]] = self._loop.create_future()
        packed = [part for command in commands for part in _packed(command)]
        self._waiting.append((future, [], len(commands), self._loop.time()))
        if not self._watching:
            self._watch()
        # Of a view the transport copies only what the socket does not take at once.
        self._transport.write(packed[0] if len(packed) == 1 else memoryview(b"".join(packed)))
        return future

    def _watch(self) -> None:
        """Give the connection up once its oldest request has waited for too long: one timer for all requests."""
        self._watching = bool(self._waiting)
        if self._watching:
            left_s = self._waiting[0][3] + self._within_s - self._loop.time()
            if left_s > 0:
                self._loop.call_later(left_s, self._watch)
            else:
                self._late = True
                self.end()

    def end(self) -> None:
        """Close; who still waits gets an error."""
        if not self._loop.is_closed():
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        """Give the answers to who waits for them."""
        try:
            self._reader.feed(data)
            while (answer := self._reader.gets()) is not _NOTHING:
                future, answers, due, _ = self._waiting[0]
                answers.append(answer)
                if len(answers) == due:
                    self._waiting.popleft()
                    if not future.done():
                        future.set_result(answers)
        except (R.InvalidResponse, IndexError):
            self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell all who wait."""
        for future, *_ in self._waiting:
            if future.done():
                continue
            if self._late:
                future.set_exception(R.TimeoutError(f"no answer within {self._within_s:g} s"))
            else:
                future.set_exception(R.ConnectionError(str(exc) if exc else "the connection was closed"))
        self._waiting.clear()


def _packed(command: tuple[Any, ...]) -> list[bytes]:
    """A command as it is sent, in parts. hiredis grows its buffer as it goes: with many long values that takes ten
    times as long as joining them, with short ones it is quicker."""
    if len(command) < 3 or type(command[2]) is not bytes or len(command[2]) < _LONG:
        return [hiredis.pack_command(command)]
    parts = [b"*%d\r\n" % len(command)]
    for argument in command:
        raw = argument if type(argument) is bytes else str(argument).encode()
        parts += (b"$%d\r\n" % len(raw), raw, b"\r\n")
    return parts
