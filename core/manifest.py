"""A bundle's manifest: what was trained, on which data, under which schema."""

import hashlib
from pathlib import Path

import msgspec

from core.errors import CorruptData, NotFound, SchemaMismatch

MANIFEST = "manifest.json"
# The file beside the bundles that names the one to serve.
CHAMPION = "champion"


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """Describes one bundle; `files` maps each file to its SHA-256, `metrics` is flat, times are Unix ms. A bundle that
    continues another names it as its `parent`, and how many `increments` lie between it and a full training."""

    bundle_id: str
    created_ms: int
    feature_schema: str
    feature_names: tuple[str, ...]
    data_from_ms: int
    data_until_ms: int
    applied_offset: int
    impressions: int
    seed: int
    heads: tuple[str, ...]
    value_weights: dict[str, float]
    metrics: dict[str, float]
    versions: dict[str, str]
    files: dict[str, str]
    notes: tuple[str, ...] = ()
    parent: str = ""
    increments: int = 0


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write the manifest, last, so that a folder with one is whole."""
    raw = msgspec.json.format(msgspec.json.encode(manifest), indent=2)
    temporary = folder / (MANIFEST + ".part")
    temporary.write_bytes(raw)
    temporary.replace(folder / MANIFEST)


def read_manifest(folder: Path, feature_schema: str | None = None) -> Manifest:
    """The manifest, checked against the files on disk and, where given, this build's feature schema.

    Raises NotFound (no bundle), CorruptData (a file differs) or SchemaMismatch (trained for other features).
    """
    path = folder / MANIFEST
    if not path.is_file():
        raise NotFound(f"There is no bundle in {folder}; run `foryou train` to make one.")
    try:
        manifest = msgspec.json.decode(path.read_bytes(), type=Manifest)
    except msgspec.DecodeError as error:
        raise CorruptData(f"The manifest {path} cannot be read ({error}); train again.") from error
    if feature_schema is not None and manifest.feature_schema != feature_schema:
        raise SchemaMismatch(
            f"Bundle {manifest.bundle_id} was trained for feature schema {manifest.feature_schema} and this build"
            f" computes {feature_schema}; run `foryou train` again with this build."
        )
    for name, digest in manifest.files.items():
        if not (folder / name).is_file() or sha256(folder / name) != digest:
            raise CorruptData(f"File {name} of bundle {manifest.bundle_id} is missing or damaged; train again.")
    return manifest


def sha256(path: Path) -> str:
    """Hex SHA-256 of a file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
