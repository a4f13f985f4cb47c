"""The one applier of a host: video.state -> the host's mapped counters."""

import asyncio
import fcntl
import logging
import os
from pathlib import Path
from typing import Final

import msgspec
import numpy as np

from core.errors import CorruptData, Unavailable
from core.log import Entry, MessageLog
from core.topics import VIDEO_STATE
from features.layout import COUNTS_DTYPE
from features.packed import records_of, schema_number
from features.stream.host_table import HostTables
from features.stream.lane import unhurried
from features.stream.messages import CounterRow, decode_row

_log = logging.getLogger(__name__)
_PAGE: Final = 2_000


class _Progress(msgspec.Struct):
    """How far each partition is in the files, which are on the disk up to there."""

    schema: int
    offsets: dict[int, int] = {}


class HostApplier:
    """Writes the host's counters while it holds the host's lock; else it waits for whoever holds it to end."""

    def __init__(self, log: MessageLog, folder: Path, every_s: float = 0.1, save_every_s: float = 5.0) -> None:
        self._log, self._folder, self._every_s, self._save_every_s = log, folder, every_s, save_every_s
        self._progress = _Progress(schema_number())
        self._saved_s = 0.0
        self.applied = 0

    async def run(self) -> None:
        """Until cancelled. What another applier left half-written is written again."""
        while (lock := self._locked()) is None:
            await asyncio.sleep(self._every_s)
        try:
            tables = HostTables(self._folder, writable=True)
            await self._resume(tables)
            while True:
                moved = await self._step(tables)
                await self._save_when_due(tables)
                if not moved:
                    await asyncio.sleep(self._every_s)
        finally:
            os.close(lock)

    async def _step(self, tables: HostTables) -> bool:
        try:
            return await self.advance(tables)
        except Unavailable as error:
            _log.warning("The host's counters stand still: %s", error.sentence)
            return False

    async def advance(self, tables: HostTables) -> bool:
        """Apply one page of each partition; whether there was anything."""
        moved = False
        for partition in range(len(await self._log.bounds(VIDEO_STATE))):
            after = self._progress.offsets.get(partition, 0)
            page = await self._log.read(VIDEO_STATE, partition, after, _PAGE)
            if page:
                self._apply(tables, page)
                self._progress.offsets[partition] = page[-1].offset
                moved = True
        return moved

    def _apply(self, tables: HostTables, page: list[Entry]) -> None:
        latest: dict[str, dict[int, bytes]] = {entity: {} for entity in tables.by_entity}
        for entry in page:
            try:
                row = _checked(entry)
            except CorruptData as error:
                _log.warning("%s %d:%d is passed over: %s", entry.topic, entry.partition, entry.offset, error.sentence)
                continue
            latest[row.entity][row.row] = row.packed
            self.applied += 1
        for entity, rows in latest.items():
            if rows:
                places = np.fromiter(rows, np.int64, len(rows))
                tables.by_entity[entity].put(places, records_of(list(rows.values()), COUNTS_DTYPE))

    async def _resume(self, tables: HostTables) -> None:
        """Go on after what the last applier stored; from the beginning where the files cannot be trusted."""
        try:
            progress = msgspec.json.decode(self._file.read_bytes(), type=_Progress)
        except (OSError, msgspec.DecodeError):
            progress = _Progress(schema_number())
        # Off the loop: a replica that takes over serves meanwhile, and looks at millions of rows here.
        damaged = [e for e, rows in tables.by_entity.items() if await asyncio.to_thread(rows.damaged)]
        ends = await self._ends()
        lost = [p for p, offset in progress.offsets.items() if p >= len(ends) or offset > ends[p]]
        if damaged or lost or progress.schema != schema_number():
            _log.warning("The host's counters are written anew (damaged: %s; shortened: %s).", damaged, lost)
            progress = _Progress(schema_number())
            for entity, rows in tables.by_entity.items():
                if lost or entity in damaged:
                    rows.clear()  # a row that says it is newer than the log would keep its place for ever
        self._progress = progress  # not before: until now nothing is known of what the files hold

    async def _ends(self) -> list[int]:
        while True:
            try:
                return [bounds.last for bounds in await self._log.bounds(VIDEO_STATE)]
            except Unavailable as error:
                _log.warning("The host's counters stand still: %s", error.sentence)
                await asyncio.sleep(self._every_s)

    async def _save_when_due(self, tables: HostTables) -> None:
        """Put the files on the disk, then how far they are; where the disk is full, try again later."""
        now_s = asyncio.get_running_loop().time()
        if now_s - self._saved_s < self._save_every_s:
            return
        self._saved_s = now_s
        try:
            # Finished once begun: the next applier must not find a file that is still being written.
            await unhurried(asyncio.to_thread(self._save, tables))
        except OSError as error:
            _log.warning("How far the host's counters are cannot be kept now (%s).", error.strerror)

    def _save(self, tables: HostTables) -> None:
        for rows in tables.by_entity.values():
            rows.flush()
        draft = self._file.with_suffix(".draft")
        draft.write_bytes(msgspec.json.encode(self._progress))
        os.replace(draft, self._file)

    @property
    def _file(self) -> Path:
        return self._folder / "applied.json"

    def _locked(self) -> int | None:
        """The host's lock as an open file, None while another process has it."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            lock = os.open(self._folder / "applier.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise Unavailable(f"The host's folder {self._folder} cannot be written ({error.strerror}).") from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(lock)
            return None
        return lock


def _checked(entry: Entry) -> CounterRow:
    """The row that a message carries; CorruptData, SchemaMismatch where it is none of ours."""
    row = decode_row(entry.value)
    records_of([row.packed], COUNTS_DTYPE)
    if row.row < 0 or row.entity not in ("video", "author", "trend"):
        raise CorruptData(f"It names the counter {row.entity} {row.row}, which does not exist.")
    return row
