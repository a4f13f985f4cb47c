"""The file of rejected rows: one JSON object for each, with its file, line and reason."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec

from core.errors import StorageFull, Unavailable


class RejectFile:
    """Rejected rows of one imported file, at `<home>/rejects/<source>-<name>.jsonl`; made when the first one comes."""

    def __init__(self, home: Path, source: str, imported: Path) -> None:
        self.path = home / "rejects" / f"{source}-{imported.stem}.jsonl"
        self._imported = imported.name

    def size(self) -> int:
        """Bytes written, 0 where there is no file."""
        return self.path.stat().st_size if self.path.is_file() else 0

    def cut(self, size: int) -> None:
        """Forget what was written after `size` bytes; without any left there is no file."""
        if size == 0:
            self.path.unlink(missing_ok=True)
        elif self.size() > size:
            with self.path.open("r+b") as stream:
                stream.truncate(size)

    def add(self, rejected: Iterable[tuple[int, str, Any]]) -> None:
        """Write (line, reason, row) entries."""
        lines = [
            msgspec.json.encode({"file": self._imported, "line": line, "reason": reason, "row": row}, enc_hook=str)
            for line, reason, row in rejected
        ]
        if not lines:
            return
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("ab") as stream:
                stream.write(b"\n".join(lines) + b"\n")
        except OSError as error:
            kind = StorageFull if error.errno == 28 else Unavailable
            raise kind(f"The rejected rows cannot be written to {self.path} ({error.strerror}).") from error
