"""The served bundle as what training goes on from; nothing here needs the libraries that train."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from core.errors import NotFound, NothingNew
from core.manifest import CHAMPION, Manifest, read_manifest
from features.definitions import schema_hash
from features.words import Words
from feeds.bundle import WORDS_FILE


@dataclass(frozen=True, slots=True)
class Parent:
    """The served bundle, whose folder is `folder`, and the words that the log is read with to go on from it."""

    folder: Path
    manifest: Manifest
    words: Words

    def require_new(self, end: int) -> None:
        """Raise NothingNew where the log ends at the offset that the bundle learned from."""
        if end <= self.manifest.applied_offset:
            raise NothingNew(nothing_new(self.manifest, 0, 0))


def parent_of(bundles: Path) -> Parent:
    """The bundle to go on from; NotFound where none is served, SchemaMismatch where it was trained for other
    features."""
    crown = bundles / CHAMPION
    if not crown.is_file():
        raise NotFound(f"No bundle is served from {bundles.parent} that could be continued; run `foryou train` first.")
    folder = bundles / crown.read_text().strip()
    return Parent(folder, read_manifest(folder, schema_hash()), Words.from_bytes((folder / WORDS_FILE).read_bytes()))


def nothing_new(parent: Manifest, new: int, least: int) -> str:
    """Why there is nothing to go on with."""
    moment = np.datetime64(parent.data_until_ms, "ms").astype("datetime64[s]")
    found = f"only {new:,} impressions, and {least:,} are the fewest to learn from" if new else "no impression"
    return f"There is nothing new since {moment} UTC, where bundle {parent.bundle_id} ends: {found}."
