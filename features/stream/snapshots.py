"""Copies of partitions' state in the blob store, so that another host need not replay a topic from its beginning."""

import asyncio
import logging
import zlib
from hashlib import blake2b
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, Protocol

import msgspec

from core.errors import CorruptData, NotFound
from core.ports import BlobStore, PartitionStates

_log = logging.getLogger(__name__)
_PART_BYTES: Final = 16 << 20
_KEPT: Final = 2
_WHOLE: Final = "whole"


class _Manifest(msgspec.Struct, frozen=True):
    """Names the parts of a snapshot; written last, so that what has one is whole."""

    offset: int
    parts: list[str]  # blake2b of each part as stored


class Copied(Protocol):
    """The state of a partition, as far as a snapshot needs it."""

    def copy(self, to: Path) -> int:
        """Write a whole copy into a new file, while others go on; the offset that it includes."""
        ...


class Snapshots:
    """A snapshot is `work/<name>/<offset>/<part>` and, last, `work/<name>/<offset>/whole`; the last two are kept."""

    def __init__(self, blobs: BlobStore, states: PartitionStates, folder: Path) -> None:
        self._blobs, self._states, self._folder = blobs, states, folder

    async def save(self, name: str, state: Copied) -> int:
        """Copy the state as it is now, while its writer goes on; the offset that the copy includes."""
        self._folder.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=self._folder) as folder:
            copy = Path(folder) / "copy.db"
            offset = await asyncio.to_thread(state.copy, copy)
            base, parts = f"work/{name}/{offset:020d}", list[str]()
            with copy.open("rb") as source:
                while raw := await asyncio.to_thread(source.read, _PART_BYTES):
                    packed = await asyncio.to_thread(zlib.compress, raw, 1)
                    await self._blobs.put(f"{base}/{len(parts):05d}", packed)
                    parts.append(blake2b(packed, digest_size=16).hexdigest())
            await self._blobs.put(f"{base}/{_WHOLE}", msgspec.json.encode(_Manifest(offset, parts)))
        await self._forget(name)
        return offset

    async def restore(self, name: str) -> int:
        """Put the newest snapshot that is whole in the place of an older local state; the local offset afterwards."""
        local = self._states.offset(name)
        for base in reversed(await self._whole(name)):
            if int(base.rsplit("/", 1)[1]) <= local:
                break
            try:
                return await self._fetch(name, base)
            except (NotFound, CorruptData) as error:
                _log.warning("The snapshot %s cannot be used: %s", base, error.sentence)
        return local

    async def _fetch(self, name: str, base: str) -> int:
        manifest = _decoded(await self._blobs.get(f"{base}/{_WHOLE}"))
        self._folder.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=self._folder) as folder:
            copy = Path(folder) / "copy.db"
            with copy.open("wb") as target:
                for number, digest in enumerate(manifest.parts):
                    packed = await self._blobs.get(f"{base}/{number:05d}")
                    if blake2b(packed, digest_size=16).hexdigest() != digest:
                        raise CorruptData(f"Part {number} of {base} is not what was written.")
                    target.write(await asyncio.to_thread(zlib.decompress, packed))
            self._states.replace(name, copy)
        return manifest.offset

    async def _whole(self, name: str) -> list[str]:
        keys = await self._blobs.list(f"work/{name}/")
        return sorted(key.removesuffix(f"/{_WHOLE}") for key in keys if key.endswith(f"/{_WHOLE}"))

    async def _forget(self, name: str) -> None:
        """Delete all but the last snapshots, and what unfinished ones left below them."""
        kept = (await self._whole(name))[-_KEPT:]
        keys = await self._blobs.list(f"work/{name}/")
        await self._blobs.delete([key for key in keys if kept and key < kept[0]])


def _decoded(raw: bytes) -> _Manifest:
    try:
        return msgspec.json.decode(raw, type=_Manifest)
    except msgspec.DecodeError as error:
        raise CorruptData(f"A snapshot's manifest cannot be read ({error}).") from error
