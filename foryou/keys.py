"""The secret under which cursors are signed."""

import secrets
from pathlib import Path


def cursor_key(folder: Path) -> bytes:
    """The secret under which cursors are signed; made on first use."""
    path = folder / "cursor.key"
    if not path.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
        path.write_bytes(secrets.token_bytes(32))
    return path.read_bytes()
