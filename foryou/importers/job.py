"""An import of several files, one after the other, into one report."""

from collections.abc import Sequence
from pathlib import Path

from core.errors import InputError
from foryou.importers.files import CHUNK_ROWS, open_file
from foryou.importers.report import ImportReport, ImportStores, OnProgress, Tally
from foryou.importers.stream import Build, FileImport


class Job:
    """Runs the files of one source and adds up what they counted."""

    def __init__(self, stores: ImportStores, source: str, on_progress: OnProgress) -> None:
        self.stores, self.report = stores, ImportReport(source=source)
        self._source, self._on_progress = source, on_progress
        self._started_ms = stores.clock()

    async def file(
        self,
        path: Path,
        build: Build,
        columns: Sequence[str] | None = None,
        reading: str = "",
        empty: bool = False,
        chunk_rows: int = CHUNK_ROWS,
    ) -> Tally:
        """Import a file beside the log: its events and rejected rows count, its rows do not."""
        tally = await self._run(path, build, columns, reading, chunk_rows)
        if tally.rows == 0 and not empty:
            raise InputError(f"The file {path} has no rows; export it again.")
        beside = Tally(events=tally.events, rejected=tally.rejected, notes=tally.notes)
        self.report.add(beside)
        return tally

    async def log(self, path: Path, build: Build, columns: Sequence[str] | None = None, reading: str = "") -> Tally:
        """Import a log: everything counts."""
        tally = await self._run(path, build, columns, reading)
        if tally.rows == 0:
            raise InputError(f"The file {path} has no rows; export it again.")
        self.report.add(tally)
        return tally

    async def _run(
        self, path: Path, build: Build, columns: Sequence[str] | None, reading: str, chunk_rows: int = CHUNK_ROWS
    ) -> Tally:
        opened = open_file(path, columns, chunk_rows)
        run = FileImport(self.stores, self._source, opened, build, reading, self._on_progress)
        tally = await run.run()
        if run.rejects.size():
            self.report.reject_files.append(run.rejects.path)
        return tally

    def finish(self) -> ImportReport:
        """The report, with the time that it took."""
        self.report.seconds = (self.stores.clock() - self._started_ms) / 1_000
        return self.report
