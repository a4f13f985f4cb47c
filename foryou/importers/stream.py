"""One file onto the log: chunk by chunk, each one append, counted exactly even over a kill and a restart."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

import numpy as np
import pyarrow as pa

from core.arrays import Array, Bool
from core.events import Event
from core.ports import Appended
from foryou.importers.cells import row_hashes
from foryou.importers.files import Chunk, LogFile
from foryou.importers.marks import Mark, MarkFile, fingerprint, last_id
from foryou.importers.rejects import RejectFile
from foryou.importers.report import ImportStores, OnProgress, Progress, Tally

_RECENT_CHUNKS: Final = 8


@dataclass(slots=True)
class Built:
    """What a chunk became: events in order, the place of each row's first event (empty: rows are not looked at for
    repeats), rejected rows as (row of the chunk, reason), and counts."""

    events: list[Event]
    first: list[int] = field(default_factory=list)
    rejected: list[tuple[int, str]] = field(default_factory=list)
    clamped: int = 0
    notes: dict[str, int] = field(default_factory=dict)


class Build(Protocol):
    """Makes events of a chunk's rows; one that must `remember` is given the chunks that need no append too."""

    remember: bool

    async def build(self, batch: Any) -> Built:
        """The same chunk gives the same events, always."""
        ...


class FileImport:
    """Puts a file on the log. A chunk is one append, so that a killed run leaves whole chunks behind and the next one
    continues as if nothing had happened: with its mark quickly, without it by the ids of the events."""

    def __init__(
        self, stores: ImportStores, source: str, file: LogFile, build: Build, reading: str, on_progress: OnProgress
    ) -> None:
        self._stores, self._file, self._build, self._on_progress = stores, file, build, on_progress
        self._print = fingerprint(file.path, f"{source} {file.columns} {reading}")
        self._marks = MarkFile(stores.home, source, self._print)
        self.rejects = RejectFile(stores.home, source, file.path)
        self._recent: deque[Array] = deque(maxlen=_RECENT_CHUNKS)
        self._tally = Tally()
        self._start = self._end = 0

    async def run(self) -> Tally:
        """Import what is not on the log yet; the counts of the whole file, events of this run only."""
        mark = await self._resume()
        if mark is not None and mark.done and not self._build.remember:
            return self._tally
        behind, rows = mark.rows if mark else 0, 0
        for chunk in self._file.chunks():
            rows += chunk.batch.num_rows + len(chunk.broken)
            repeats = self._repeats(chunk)
            if rows > behind:
                await self._import(chunk, repeats)
                await self._write_mark(rows, False)
            elif self._build.remember:
                await self._build.build(chunk.batch.filter(pa.array(~repeats)))
            self._on_progress(Progress(self._file.path.name, rows, self._file.total))
        if mark is None or not mark.done:
            await self._write_mark(rows, True)
        return self._tally

    async def _resume(self) -> Mark | None:
        mark = await self._marks.read(self._stores.log)
        self._end = await self._stores.log.end()
        self._start = self._end
        if mark is not None:
            tally = self._tally = mark.counts()
            self._start, self._end = mark.start, mark.end
            if mark.done:
                tally.events, tally.known = 0, tally.rows - tally.duplicates - tally.rejected.total()
        self.rejects.cut(mark.reject_bytes if mark else 0)
        return mark

    async def _import(self, chunk: Chunk, repeats: Bool) -> None:
        tally = self._tally
        tally.rows += chunk.batch.num_rows + len(chunk.broken)
        batch, lines = chunk.batch, chunk.lines
        if repeats.any():
            tally.exact_duplicates += int(repeats.sum())
            tally.duplicates += int(repeats.sum())
            batch, lines = batch.filter(pa.array(~repeats)), lines[~repeats]
        built = await self._build.build(batch)
        answers = await self._stores.log.append(built.events)
        self._count(answers, built.first)
        tally.clamped += built.clamped
        tally.notes.update(built.notes)
        self._reject(chunk, batch, lines, built.rejected)

    def _repeats(self, chunk: Chunk) -> Bool:
        """Rows that are the same in every column as one before, in this chunk or the last few. [rows] bool"""
        hashes = row_hashes(chunk.batch)
        order = np.argsort(hashes, kind="stable")
        ordered = hashes[order]
        repeat = np.zeros(len(hashes), np.bool_)
        repeat[order[1:]] = ordered[1:] == ordered[:-1]
        for earlier in self._recent:
            place = np.searchsorted(earlier, hashes)
            repeat |= earlier[np.minimum(place, len(earlier) - 1)] == hashes
        if len(ordered):
            self._recent.append(ordered)
        return repeat

    def _count(self, answers: Sequence[Appended], first: Sequence[int]) -> None:
        """Tell what is new, what repeats a row of this import, and what the log held before it.

        Offsets above `_end` are this chunk's own: written now, or by the run that was killed after its append.
        """
        own: set[int] = set()
        new = []
        for answer in answers:
            fresh = answer.offset > self._end and answer.offset not in own
            own.add(answer.offset)
            new.append(fresh)
        self._tally.events += sum(new)
        for place in first:
            if new[place]:
                continue
            if answers[place].offset > self._start:
                self._tally.duplicates += 1
            else:
                self._tally.known += 1
        self._end = max(self._end, max(own, default=0))

    def _reject(self, chunk: Chunk, batch: Any, lines: Array, rejected: Sequence[tuple[int, str]]) -> None:
        entries: list[tuple[int, str, Any]] = [(b.line, b.reason, b.text) for b in chunk.broken]
        rows = batch.take([row for row, _ in rejected]).to_pylist() if rejected else []
        for (row, reason), content in zip(rejected, rows, strict=True):
            entries.append((int(lines[row]), reason, content))
        entries.sort(key=lambda entry: entry[0])
        self._tally.rejected.update(reason for _, reason, _ in entries)
        self.rejects.add(entries)

    async def _write_mark(self, rows: int, done: bool) -> None:
        self._marks.write(
            Mark(
                file=self._print,
                rows=rows,
                start=self._start,
                end=self._end,
                last_id=await last_id(self._stores.log, self._end),
                reject_bytes=self.rejects.size(),
                tally=self._tally.as_dict(),
                done=done,
            )
        )
