"""What a fit keeps of itself while it runs, so that one that is killed goes on."""

import hashlib
import io
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

STEPS = 500


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """One fit's file; without a path nothing is kept. Written after each pass and every `steps` steps, whole or not
    at all."""

    path: Path | None = None
    steps: int = STEPS

    def due(self, done: int) -> bool:
        """Whether to keep a fit of so many steps."""
        return self.path is not None and done % self.steps == 0

    def keep(self, state: Mapping[str, Any]) -> None:
        """Replace what was kept. OSError where the disk is full: what was kept before stays."""
        if self.path is None:
            return
        whole = io.BytesIO()  # torch itself tells of a full disk in words of its own
        torch.save(dict(state), whole)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        part = self.path.with_suffix(".part")
        part.write_bytes(whole.getbuffer())
        part.replace(self.path)

    def kept(self) -> dict[str, Any] | None:
        """What was kept; None where nothing was, or where it cannot be read any more."""
        if self.path is None or not self.path.is_file():
            return None
        try:
            state: dict[str, Any] = torch.load(self.path, weights_only=True, map_location="cpu")
        except (OSError, RuntimeError, EOFError, ValueError, KeyError):
            self.path.unlink(missing_ok=True)
            return None
        return state


@dataclass(frozen=True, slots=True)
class Checkpoints:
    """The checkpoints of one training run, in a folder named by all that decides it; without one nothing is kept."""

    folder: Path | None = None
    steps: int = STEPS

    @classmethod
    def of_run(cls, folder: Path, run: str) -> "Checkpoints":
        """Those of this run; what other runs have left there is removed."""
        own = folder / digest(run)
        for other in folder.glob("*"):
            if other != own:
                shutil.rmtree(other, ignore_errors=True)
        return cls(own)

    def of_fit(self, name: str) -> Checkpoint:
        """That of the fit of this name."""
        return Checkpoint(self.folder / f"{digest(name)}.pt" if self.folder else None, self.steps)

    def clear(self) -> None:
        """Forget all: the run is over."""
        if self.folder:
            shutil.rmtree(self.folder, ignore_errors=True)


def digest(content: str | bytes) -> str:
    """A short name for content. 16 hex digits"""
    raw = content.encode() if isinstance(content, str) else content
    return hashlib.blake2b(raw, digest_size=8).hexdigest()
