"""What decides the towers of a training run: a killed run is gone on with where all of it is the same."""

import importlib.metadata
from pathlib import Path

import candidate_gen
from candidate_gen.checkpoints import Checkpoints, digest
from training.config import TrainConfig
from training.log_data import LogData
from training.run_record import fingerprint
from training.tower_fits import TowerFits

_DECIDING = ("torch", "numpy", "numba")


def fits_of_run(scratch: Path, data: LogData, config: TrainConfig, test_day: int | None = None) -> TowerFits:
    """The tower fits of a run on this log with this configuration; what other runs have left is removed."""
    versions = [importlib.metadata.version(name) for name in _DECIDING]
    profiles = digest(data.driver.records[["profile", "traits"]].tobytes())
    run = [fingerprint(data), profiles, config.model_dump_json(), test_day, versions, code()]
    return TowerFits(Checkpoints.of_run(scratch / "checkpoints", repr(run)), scratch)


def code() -> str:
    """A hash of the code that fits towers, changes that are not committed included."""
    folder = Path(next(iter(candidate_gen.__path__)))
    return digest(b"".join(path.read_bytes() for path in sorted(folder.glob("*.py"))))
