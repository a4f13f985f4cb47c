"""A bundle's ranking part: feature values -> calibrated predictions of every head."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

import numpy as np

from core.arrays import Array, Float32, pack, unpack
from core.errors import CorruptData, NotFound, SchemaMismatch
from ranking.bins import Codes, SharedBins
from ranking.calibration import Calibrator, calibrator_from_arrays
from ranking.forest import Forest
from ranking.value_model import Predictions

FILE = "ranker.npz"
_FORMAT = 1


class Ranker:
    """Bins, forest and calibrators that were made for one list of features."""

    def __init__(
        self,
        bins: SharedBins,
        forest: Forest,
        calibrators: Mapping[str, Calibrator],
        feature_names: Sequence[str],
    ) -> None:
        """Raises SchemaMismatch when the parts do not fit each other."""
        self.bins, self.forest = bins, forest
        self.feature_names = tuple(feature_names)
        if not len(self.feature_names) == bins.features == forest.features:
            raise SchemaMismatch(
                f"A ranker of {len(self.feature_names)} named features got bins of {bins.features}"
                f" and a forest of {forest.features}; train them together."
            )
        if set(calibrators) != set(forest.heads):
            raise SchemaMismatch(f"The heads {sorted(forest.heads)} and calibrators {sorted(calibrators)} differ.")
        self.calibrators = {head: calibrators[head] for head in forest.heads}

    @property
    def heads(self) -> tuple[str, ...]:
        """The names of the predictions."""
        return self.forest.heads

    def predict(self, values: Float32) -> Predictions:
        """Head -> [rows] float64, of `values` [rows, features] float32; NaN and inf are values.

        Raises SchemaMismatch when the number of features differs.
        """
        return self.predict_codes(self.bins.codes(values))

    def predict_codes(self, codes: Codes) -> Predictions:
        """Head -> [rows] float64, of `codes` [rows, features] that this ranker's bins gave."""
        scores = self.forest.scores(codes)
        return {
            head: calibrator.apply(scores[:, column])
            for column, (head, calibrator) in enumerate(self.calibrators.items())
        }

    def check_features(self, names: Sequence[str]) -> None:
        """Raise SchemaMismatch unless `names` are this ranker's features in the same order."""
        if tuple(names) == self.feature_names:
            return
        lacking = sorted(set(self.feature_names) - set(names))
        foreign = sorted(set(names) - set(self.feature_names))
        raise SchemaMismatch(
            f"This build's features are not the bundle's (lacking {lacking}, foreign {foreign},"
            " otherwise the order); train again with this build."
        )

    def warm_up(self) -> None:
        """Compile, or load from the cache, what `predict` runs, for both layouts of its input."""
        values = np.zeros((2, self.bins.features), np.float32)
        for layout in (values, np.asfortranarray(values)):
            self.predict(layout)
            self.predict_codes(layout.astype(np.uint8))

    def save(self, folder: Path) -> None:
        """Write `ranker.npz` into `folder`, which is made."""
        arrays = {f"bins/{name}": array for name, array in self.bins.arrays().items()}
        arrays |= {f"forest/{name}": array for name, array in self.forest.arrays().items()}
        for head, calibrator in self.calibrators.items():
            arrays |= {f"calibration/{head}/{n}": a for n, a in calibrator.arrays().items()}
        document = {
            "format": _FORMAT,
            "feature_names": self.feature_names,
            "heads": self.heads,
            "calibration": {head: c.method for head, c in self.calibrators.items()},
        }
        folder.mkdir(parents=True, exist_ok=True)
        temporary = folder / (FILE + ".part")
        temporary.write_bytes(pack(arrays, document))
        temporary.replace(folder / FILE)

    @classmethod
    def load(cls, folder: Path, feature_names: Sequence[str] | None = None) -> Self:
        """The ranker that was saved there, checked against `feature_names` where given.

        Raises NotFound, CorruptData, or SchemaMismatch (other features, another format).
        """
        path = folder / FILE
        if not path.is_file():
            raise NotFound(f"There is no {FILE} in {folder}; train a bundle first.")
        arrays, document = unpack(path.read_bytes())
        if document.get("format") != _FORMAT:
            raise SchemaMismatch(f"{path} has another format than this build reads; train again.")
        try:
            ranker = cls(
                SharedBins.from_arrays(_under("bins/", arrays)),
                Forest(document["heads"], len(document["feature_names"]), _under("forest/", arrays)),
                {
                    head: calibrator_from_arrays(method, _under(f"calibration/{head}/", arrays))
                    for head, method in document["calibration"].items()
                },
                document["feature_names"],
            )
        except KeyError as error:
            raise CorruptData(f"{path} lacks {error}; train again.") from error
        if feature_names is not None:
            ranker.check_features(feature_names)
        return ranker


def _under(prefix: str, arrays: Mapping[str, Array]) -> dict[str, Array]:
    """The arrays whose names begin with `prefix`, without it."""
    return {n.removeprefix(prefix): a for n, a in arrays.items() if n.startswith(prefix)}
