"""The gates between a new bundle and the viewers: judged beside the champion on the same rows, before it may serve.

Both are judged as they ship, from their files. Where enough rows are newer than all that the champion has learned from,
only those count; the candidate's towers have seen them, so there the gates are a floor that a broken bundle does not
reach, and no proof that it is better. On rows that both have seen they are as fair as they look.
"""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from candidate_gen.recall import recalls
from core.arrays import Array
from core.errors import CorruptData, ForyouError, NotFound
from core.manifest import CHAMPION
from training.cross import CrossFeatures
from training.log_data import LogData
from training.metrics import auc, calibration_error, logloss
from training.ranking_fit import ranker_matrix
from training.source_scores import SourceScores, later_long_views, source_ranks
from training.stored_bundle import StoredBundle, stored_bundle

if TYPE_CHECKING:
    from training.pipeline import Fitted

VERDICT_FILE = "gates.json"
_JUDGED_ROWS = 100_000


class GateRefused(ForyouError):
    """A bundle is not good enough to be served."""

    http_status = 409


class GateConfig(BaseModel):
    """How much worse than the champion a bundle may be."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    auc_margin: float = Field(0.01, ge=0, description="AUC that a head may lose, beside one chance standard error")
    logloss_margin: float = Field(0.02, ge=0, description="share by which a head's log loss may grow, beside chance")
    ece_bound: float = Field(0.05, ge=0, description="largest calibration error of a head, unless the champion's is")
    recall_margin: float = Field(0.1, ge=0, le=1, description="share of the champion's recall@100 that may be lost")
    min_rows: int = Field(500, ge=1, description="fewest rows on which a bundle can replace another")
    min_positives: int = Field(50, ge=1, description="fewest positives for which a head's AUC is compared")


class Gate(msgspec.Struct, frozen=True, kw_only=True):
    """One gate: the candidate's figure, the bound that it was held to, and the champion's figure where there is one."""

    name: str
    passed: bool
    candidate: float | None
    bound: float | None
    champion: float | None = None

    @property
    def text(self) -> str:
        """Such as "long_view/auc is 0.5000, must be 0.7012 (champion 0.7112)"."""
        beside = "" if self.champion is None else f" (champion {self.champion:.4f})"
        return f"{self.name} is {_figure(self.candidate)}, must be {_figure(self.bound)}{beside}"


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """All gates of one bundle; `champion` is empty where there was none that could be compared."""

    bundle: str
    champion: str
    rows: int
    unseen: bool
    gates: tuple[Gate, ...]

    @property
    def failed(self) -> tuple[Gate, ...]:
        """The gates that the bundle did not pass."""
        return tuple(gate for gate in self.gates if not gate.passed)

    @property
    def sentence(self) -> str:
        """Why a bundle is refused."""
        most = "; ".join(gate.text for gate in self.failed[:3])
        more = len(self.failed) - 3
        kept = f"{self.champion} stays the champion" if self.champion else "there is still no champion"
        return (
            f"Bundle {self.bundle} is not served and {kept}: {most}{f'; and {more} more gates' if more > 0 else ''}"
            " (`foryou train --force` serves it all the same)."
        )


@dataclass(frozen=True, slots=True)
class Judged:
    """A bundle's predictions [rows] by head, and its recall@100 (nan where there was nothing to find)."""

    predictions: dict[str, Array]
    recall: float

    @property
    def broken(self) -> int:
        """How many predictions are no number."""
        return sum(int((~np.isfinite(values)).sum()) for values in self.predictions.values())


def judge(bundles: Path, bundle_id: str, data: LogData, fitted: "Fitted", config: GateConfig | None = None) -> Verdict:
    """Hold a written bundle to the gates, and write the verdict beside it."""
    config = config or GateConfig()
    videos = len(data.state.table)
    candidate, champion = stored_bundle(bundles / bundle_id, videos), champion_of(bundles, videos)
    index, unseen = _rows(fitted, champion, config)
    ours = judged(candidate, data, fitted, index)
    gates = [_at_most("predictions that are no number", ours.broken, 0)]
    if champion is not None:
        gates += beside_champion(fitted, index, ours, judged(champion, data, fitted, index), config)
    name = champion.manifest.bundle_id if champion else ""
    verdict = Verdict(bundle=bundle_id, champion=name, rows=len(index), unseen=unseen, gates=tuple(gates))
    (bundles / bundle_id / VERDICT_FILE).write_bytes(msgspec.json.format(msgspec.json.encode(verdict), indent=2))
    return verdict


def beside_champion(fitted: "Fitted", index: Array, ours: Judged, theirs: Judged, config: GateConfig) -> list[Gate]:
    """The gates that compare: enough rows, no head lost, each binary head, and recall."""
    gates = [_at_least("rows", len(index), config.min_rows)]
    gates += [_at_least(f"{name}/present", float(name in ours.predictions), 1) for name in theirs.predictions]
    for name, prediction in ours.predictions.items():
        head = fitted.ranking.trained.heads[name].config
        if head.objective == "binary" and name in theirs.predictions:
            label = fitted.rows.labels[head.column][index]
            gates += head_gates(name, label, prediction, theirs.predictions[name], config)
    if math.isfinite(theirs.recall):
        gates.append(_at_least("recall@100", ours.recall, theirs.recall * (1 - config.recall_margin), theirs.recall))
    return gates


def champion_of(bundles: Path, videos: int) -> StoredBundle | None:
    """The bundle that is served; None where there is none, or none that could serve this catalogue."""
    crown = bundles / CHAMPION
    if not crown.is_file():
        return None
    try:
        return stored_bundle(bundles / crown.read_text().strip(), videos)
    except (NotFound, CorruptData, FileNotFoundError):
        return None


def judged(bundle: StoredBundle, data: LogData, fitted: "Fitted", index: Array) -> Judged:
    """What the bundle, as it ships, says of impressions `index`, and what it would have retrieved for them."""
    rows, table, watches = fitted.rows, data.state.table, data.interactions()
    from_ms = int(rows.time_ms[index].min()) if len(index) else fitted.split.valid_from_ms
    cross = CrossFeatures(bundle.retrieval, table, from_ms)
    predictions = dict(bundle.ranker.predict(ranker_matrix(rows, index, cross, data.driver.records)))
    liked = index[rows.labels["long_view"][index] > 0]
    rng = np.random.default_rng(0)
    held, viewers = later_long_views(watches, rows.viewer[liked], rows.video[liked], from_ms, len(table), rng)
    if not len(held):
        return Judged(predictions, float("nan"))
    found = source_ranks(SourceScores(bundle.retrieval, table, watches, from_ms), bundle.blend, held, viewers)
    return Judged(predictions, float(recalls(found["blend"], held, 100).mean()))


def head_gates(name: str, label: Array, ours: Array, theirs: Array, config: GateConfig) -> list[Gate]:
    """The gates of one binary head on rows with a label: calibration, and log loss and AUC beside the champion's."""
    known = ~np.isnan(label) & np.isfinite(ours) & np.isfinite(theirs)
    label, ours, theirs = label[known], ours[known], theirs[known]
    positives = int((label > 0).sum())
    fewer = min(positives, len(label) - positives)
    if fewer == 0:
        return []
    worst, lost, area = (metric(label, theirs) for metric in (calibration_error, logloss, auc))
    chance = 2 * _paired_error(label, ours, theirs)
    gates = [
        _at_most(f"{name}/ece", calibration_error(label, ours), max(config.ece_bound, worst), worst),
        _at_most(f"{name}/logloss", logloss(label, ours), lost * (1 + config.logloss_margin) + chance, lost),
    ]
    if fewer >= config.min_positives:
        slack = config.auc_margin + 1 / math.sqrt(12 * fewer)
        gates.append(_at_least(f"{name}/auc", auc(label, ours), area - slack, area))
    return gates


def _paired_error(label: Array, ours: Array, theirs: Array) -> float:
    """The standard error of the difference of two log losses on the same rows: large where few positives decide it."""
    ours, theirs = (np.clip(values, 1e-7, 1 - 1e-7) for values in (ours, theirs))
    worse = np.where(label > 0, np.log(theirs / ours), np.log((1 - theirs) / (1 - ours)))
    return float(worse.std() / math.sqrt(len(worse)))


def _rows(fitted: "Fitted", champion: StoredBundle | None, config: GateConfig) -> tuple[Array, bool]:
    """(validation rows to judge on, whether the champion has seen none of them)."""
    valid = fitted.ranking.valid_index
    if champion is not None:
        newer = valid[fitted.rows.time_ms[valid] >= champion.manifest.data_until_ms]
        if len(newer) >= config.min_rows:
            return newer[-_JUDGED_ROWS:], True
    return valid[-_JUDGED_ROWS:], False


def _at_most(name: str, figure: float, bound: float, champion: float | None = None) -> Gate:
    return Gate(name=name, passed=figure <= bound, candidate=figure, bound=bound, champion=champion)


def _at_least(name: str, figure: float, bound: float, champion: float | None = None) -> Gate:
    return Gate(name=name, passed=figure >= bound, candidate=figure, bound=bound, champion=champion)


def _figure(value: float | None) -> str:
    return "no number" if value is None or not math.isfinite(value) else f"{value:.4f}".rstrip("0").rstrip(".")
