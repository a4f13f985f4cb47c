"""What a person sees: tables and JSON on stdout, progress and notes on stderr."""

import signal
import sys
import threading
from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

_PLAIN_WIDTH = 140  # of a table that is written to a file or a pipe


def note(text: str) -> None:
    """A line for a person, on stderr so that stdout stays what the command gives."""
    print(text, file=sys.stderr, flush=True)


def show_json(value: Any) -> None:
    """The value as JSON, and nothing else, on stdout."""
    import msgspec

    print(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())


def show_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """A table on stdout; a column whose name begins with ">" is aligned to the right."""
    table = Table(title=title, title_justify="left", title_style="bold", header_style="bold")
    for name in columns:
        table.add_column(name.removeprefix(">"), justify="right" if name.startswith(">") else "left", overflow="fold")
    for row in rows:
        table.add_row(*(_cell(value) for value in row))
    out = Console(file=sys.stdout, markup=False, highlight=False)
    if not out.is_terminal:
        out.width = _PLAIN_WIDTH
    out.print(table)


def _cell(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.4f}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


class Steps:
    """Progress bars on stderr, one for each step that reports itself; without a terminal a line for each.

    Called with (step, done, total); a total of 0 means that it is not known. While it is open Ctrl-C stops work at
    once, also inside asyncio.run, which else waits for the next await; where compiled code swallows the interrupt,
    the next report raises it again.
    """

    def __init__(self) -> None:
        console = Console(stderr=True, highlight=False)
        self._plain = not console.is_terminal
        self._progress = Progress(
            SpinnerColumn(finished_text="[green]✓[/green]"),
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=30),
            TextColumn("{task.fields[count]}", markup=False),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=console,
            disable=self._plain,
        )
        self._step = self._finished = ""
        self._stopped = False
        self._before: Any = None
        self._task: TaskID | None = None

    def __enter__(self) -> "Steps":
        if threading.current_thread() is threading.main_thread():
            self._before = signal.signal(signal.SIGINT, self._stop)
        self._progress.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if kind is None and self._step:
            self._finish()
        if self._task is not None and not self._step:
            self._progress.remove_task(self._task)
        self._progress.stop()
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)

    def _stop(self, number: int, frame: Any) -> None:
        self._stopped = True
        raise KeyboardInterrupt

    def begin(self, step: str) -> None:
        """A step that cannot say how far it is."""
        self._check()
        if self._step:
            self._finish()
        if self._task is None:
            self._task = self._progress.add_task(step, total=None, count="")
        self._progress.update(self._task, description=step)
        self._step = step

    def __call__(self, step: str, done: int, total: int) -> None:
        self._check()
        if step == self._finished:
            return
        if step != self._step:
            self.begin(step)
        assert self._task is not None
        count = f"{done:,} / {total:,}" if total > 1 else f"{done:,}" if total == 0 else ""
        self._progress.update(self._task, completed=done, total=total or None, count=count)
        if total and done >= total:
            self._finish()
            # What comes next has not said its name yet; its time runs from here.
            self._task = self._progress.add_task("...", total=None, count="")

    def _check(self) -> None:
        if self._stopped:
            raise KeyboardInterrupt

    def _finish(self) -> None:
        task = next(task for task in self._progress.tasks if task.id == self._task)
        total = task.total or 1
        self._progress.update(task.id, completed=total, total=total)
        self._progress.stop_task(task.id)
        if self._plain:
            note(f"{self._step:32s}{task.elapsed or 0:7.1f} s  {task.fields['count']}".rstrip())
        self._finished, self._step, self._task = self._step, "", None
