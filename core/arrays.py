"""Named arrays and a small JSON document as one byte string, without pickles."""

import io
import json
import zipfile
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.errors import CorruptData

Array = NDArray[Any]
Int32 = NDArray[np.int32]
Int64 = NDArray[np.int64]
Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]
Bool = NDArray[np.bool_]

_DOCUMENT = "__document__"
_DAMAGE = (ValueError, OSError, EOFError, KeyError, NotImplementedError, RuntimeError, zipfile.BadZipFile, zlib.error)


def pack(arrays: Mapping[str, Array], document: Mapping[str, Any] | None = None) -> bytes:
    """The arrays (structured dtypes too) and the document as an npz archive."""
    buffer = io.BytesIO()
    text = json.dumps(document or {}, sort_keys=True).encode()
    np.savez_compressed(buffer, **{_DOCUMENT: np.frombuffer(text, np.uint8)}, **dict(arrays))  # type: ignore[arg-type]
    return buffer.getvalue()


def unpack(raw: bytes) -> tuple[dict[str, Array], dict[str, Any]]:
    """What `pack` was given; CorruptData when the bytes are not a whole archive."""
    try:
        with np.load(io.BytesIO(raw), allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        document = json.loads(arrays.pop(_DOCUMENT).tobytes().decode())
    except _DAMAGE as error:
        raise CorruptData(f"A packed record of {len(raw)} bytes cannot be read ({error!r}).") from error
    return arrays, document
