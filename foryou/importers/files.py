"""Files as a stream of column chunks: Parquet, CSV and JSON Lines, with memory that does not grow with the file."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from core.arrays import Int64
from core.errors import InputError, NotFound

CHUNK_ROWS: Final = 10_000
_BLOCK_BYTES: Final = 2 << 20
_REPLACEMENT: Final = "\N{REPLACEMENT CHARACTER}"


@dataclass(frozen=True, slots=True)
class Broken:
    """A line that is no row."""

    line: int
    reason: str
    text: str


@dataclass(frozen=True, slots=True)
class Chunk:
    """Some rows in the file's order with their line numbers [rows], and lines between them that are no rows.

    Lines count from 1 as an editor does; rows of a Parquet file count from 1.
    """

    batch: Any
    lines: Int64
    broken: list[Broken] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class LogFile:
    """A file, its columns (None: all), its number of rows (0: unknown) and the most rows of a chunk."""

    path: Path
    columns: tuple[str, ...] | None
    total: int
    chunk_rows: int
    _chunks: Any

    def chunks(self) -> Iterator[Chunk]:
        """The rows from the beginning; every pass gives the same chunks."""
        chunks: Iterator[Chunk] = self._chunks(self.path, self.columns, self.chunk_rows)
        return chunks


def open_file(path: Path, columns: Sequence[str] | None = None, chunk_rows: int = CHUNK_ROWS) -> LogFile:
    """The file, ready to stream; InputError where it is missing, empty, of no known kind or lacks a column."""
    if not path.is_file():
        raise NotFound(f"There is no file {path}; check the path.")
    if path.stat().st_size == 0:
        raise InputError(f"The file {path} is empty; export it again.")
    wanted = None if columns is None else tuple(dict.fromkeys(columns))
    if path.suffix in (".parquet", ".pq"):
        return LogFile(path, wanted, _check_parquet(path, wanted), chunk_rows, _parquet)
    if path.suffix in (".csv", ".tsv"):
        _require(path, _csv_header(path), wanted)
        return LogFile(path, wanted, 0, chunk_rows, _csv)
    if path.suffix in (".jsonl", ".ndjson"):
        return LogFile(path, wanted, 0, chunk_rows, _json_lines)
    raise InputError(f"The file {path} must end in .parquet, .csv, .tsv or .jsonl to be imported.")


def _require(path: Path, have: Sequence[str], wanted: Sequence[str] | None) -> None:
    for name in wanted or ():
        if name not in have:
            raise InputError(
                f"The file {path} has no column '{name}' (it has {', '.join(have)}); correct the file or its mapping."
            )


def _check_parquet(path: Path, wanted: Sequence[str] | None) -> int:
    try:
        with pq.ParquetFile(path) as file:
            _require(path, file.schema_arrow.names, wanted)
            return int(file.metadata.num_rows)
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"The file {path} is not a Parquet file ({error}); export it again.") from error


def _parquet(path: Path, columns: tuple[str, ...] | None, chunk_rows: int) -> Iterator[Chunk]:
    line = 1
    try:
        with pq.ParquetFile(path, pre_buffer=False, buffer_size=_BLOCK_BYTES) as file:
            for batch in file.iter_batches(chunk_rows, columns=columns, use_threads=False):
                yield Chunk(batch, np.arange(line, line + batch.num_rows))
                line += batch.num_rows
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"The file {path} is damaged after row {line - 1} ({error}).") from error


def _delimiter(path: Path) -> str:
    return "\t" if path.suffix == ".tsv" else ","


def _csv_header(path: Path) -> list[str]:
    options = pa_csv.ParseOptions(delimiter=_delimiter(path), invalid_row_handler=lambda row: "skip")
    read = pa_csv.ReadOptions(block_size=_BLOCK_BYTES, use_threads=False)
    convert = pa_csv.ConvertOptions(check_utf8=False)
    try:
        with pa_csv.open_csv(path, read, options, convert) as reader:
            names: list[str] = reader.schema.names
            return names
    except (pa.ArrowException, UnicodeDecodeError) as error:
        raise InputError(f"The file {path} cannot be read as CSV ({error}); export it again.") from error


def _csv(path: Path, columns: tuple[str, ...] | None, chunk_rows: int) -> Iterator[Chunk]:
    """Every cell stays text until it is checked: a bad one costs its row, not the file."""
    names = columns or tuple(_csv_header(path))
    broken: list[Broken] = []

    def skip(row: Any) -> str:
        text = f"{row.actual_columns} columns where the header has {row.expected_columns}"
        broken.append(Broken(int(row.number or 0), "wrong number of columns", f"{text}: {row.text}"))
        return "skip"

    read = pa_csv.ReadOptions(block_size=_BLOCK_BYTES, use_threads=False)
    parse = pa_csv.ParseOptions(delimiter=_delimiter(path), invalid_row_handler=skip)
    convert = pa_csv.ConvertOptions(
        check_utf8=False,
        strings_can_be_null=True,
        null_values=[""],
        include_columns=names,
        column_types=dict.fromkeys(names, pa.binary()),
    )
    line = 2
    try:
        with pa_csv.open_csv(path, read, parse, convert) as reader:
            for block in reader:
                found, broken = broken, []
                yield from _cut(_as_text(block), line, found, chunk_rows)
                line += block.num_rows + len(found)
    except pa.ArrowException as error:
        raise InputError(f"The file {path} is no CSV after line {line - 1} ({error}).") from error


def _cut(block: Any, line: int, broken: list[Broken], chunk_rows: int) -> Iterator[Chunk]:
    """A block as chunks, its lines numbered around those that were left out."""
    gone = np.array([entry.line for entry in broken], np.int64)
    lines = np.setdiff1d(np.arange(line, line + block.num_rows + len(gone)), gone)[: block.num_rows]
    for start in range(0, max(block.num_rows, 1), chunk_rows):
        end = start + chunk_rows
        yield Chunk(block.slice(start, chunk_rows), lines[start:end], broken if start == 0 else [])


def _as_text(block: Any) -> Any:
    """The block with text columns; bytes that are no UTF-8 become the replacement character."""
    columns = []
    for column in block.columns:
        try:
            columns.append(column.cast(pa.string()))
        except pa.ArrowInvalid:
            values = [None if raw is None else raw.decode(errors="replace") for raw in column.to_pylist()]
            columns.append(pa.array(values, pa.string()))
    return pa.RecordBatch.from_arrays(columns, names=block.schema.names)


def _json_lines(path: Path, columns: tuple[str, ...] | None, chunk_rows: int) -> Iterator[Chunk]:
    rows: list[dict[str, Any]] = []
    lines: list[int] = []
    broken: list[Broken] = []
    checked = False
    with path.open("rb") as stream:
        for number, raw in enumerate(stream, 1):
            _read_line(number, raw, rows, lines, broken)
            if len(rows) + len(broken) >= chunk_rows:
                checked = _check_names(path, rows, columns, checked)
                yield _as_chunk(rows, lines, broken, columns)
                rows, lines, broken = [], [], []
    _check_names(path, rows, columns, checked)
    yield _as_chunk(rows, lines, broken, columns)


def _read_line(number: int, raw: bytes, rows: list[dict[str, Any]], lines: list[int], broken: list[Broken]) -> None:
    if not raw.strip():
        return
    try:
        rows.append(_decode_row(raw))
        lines.append(number)
    except (msgspec.DecodeError, UnicodeDecodeError):
        broken.append(Broken(number, "not a JSON object", raw.decode(errors="replace").rstrip("\n")))


_decode_row = msgspec.json.Decoder(dict[str, Any]).decode


def _check_names(path: Path, rows: list[dict[str, Any]], columns: tuple[str, ...] | None, checked: bool) -> bool:
    """JSON objects may leave out what is empty, so a column is missing when no row of the first chunk has it."""
    if rows and not checked:
        _require(path, list(dict.fromkeys(name for row in rows for name in row)), columns)
    return checked or bool(rows)


def _as_chunk(
    rows: list[dict[str, Any]], lines: list[int], broken: list[Broken], columns: tuple[str, ...] | None
) -> Chunk:
    names = columns or tuple(dict.fromkeys(name for row in rows for name in row))
    arrays = [_column([row.get(name) for row in rows]) for name in names]
    batch = pa.RecordBatch.from_arrays(arrays, names=list(names))
    return Chunk(batch, np.array(lines, np.int64), broken)


def _column(values: list[Any]) -> Any:
    """One type for the column; text where the values do not agree on one."""
    try:
        return pa.array(values)
    except (pa.ArrowException, OverflowError):
        texts = [None if value is None else str(value) for value in values]
        return pa.array(texts, pa.string())
