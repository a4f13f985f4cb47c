"""Trains the two towers with a sampled softmax whose every correction has a name and a switch."""

from collections.abc import Callable
from dataclasses import astuple, dataclass

import numpy as np

from candidate_gen.checkpoints import Checkpoint, Checkpoints
from candidate_gen.examples import histories_at
from candidate_gen.interactions import POSITIVE, Interactions
from candidate_gen.peers import Peers
from candidate_gen.recall import HeldOut, recall_at, top_rows, without_seen
from candidate_gen.steps import Corpus, corpus_of, examples_of
from candidate_gen.tower_config import TowerConfig
from candidate_gen.towers import TowerArrays
from candidate_gen.towers import VideoTower as VideoVectors
from candidate_gen.towers import ViewerTower as ViewerVectors
from candidate_gen.trainer import ALONE, Trainer
from candidate_gen.two_towers import TwoTowers
from core.arrays import Float32, Int32
from core.room import blocks
from core.video_table import VideoTable

Start = Callable[[Interactions], Float32]
"""Vectors [videos, <= inputs] that ids begin at, from the watches that the towers may learn from."""


@dataclass(frozen=True)
class EpochRecord:
    """One epoch: its mean loss and the recall@100 of the held-out end (nan where nothing was held out)."""

    epoch: int
    loss: float
    recall_at_100: float


@dataclass(frozen=True)
class TrainedTowers:
    """The towers as arrays, and how the epochs that chose them went."""

    arrays: TowerArrays
    curve: tuple[EpochRecord, ...]


def exported(model: TwoTowers, corpus: Corpus, until_ms: int, words: tuple[tuple[str, ...], ...]) -> TowerArrays:
    """The model as plain arrays as of `until_ms`; the ids of videos that nobody had watched become zero."""
    parameters = {name: p.detach().cpu().numpy().copy() for name, p in model.named_parameters()}
    watches, popularity = corpus.watches, corpus.popularity
    watched = np.zeros(corpus.videos, np.int64)
    for span in blocks(len(watches)):
        watched += np.bincount(watches.video[span][watches.time_ms[span] < until_ms], minlength=corpus.videos)
    parameters["inputs.ids"][watched == 0] = 0
    counts = popularity.counts[int(popularity.step(np.asarray(until_ms)))]
    c = model.config
    return TowerArrays(
        parameters, counts, c.history, c.normalise, c.temperature, until_ms, words
    )  # fmt: skip


@dataclass(frozen=True)
class Holdout:
    """The end of the watches: `viewer` [n] with first-time positives in it, from `from_ms`."""

    viewer: Int32
    from_ms: int
    held: HeldOut

    def recall(self, arrays: TowerArrays, corpus: Corpus, table: VideoTable) -> float:
        """Mean recall@100 of the towers, as of `from_ms`, over the whole catalogue."""
        rows = np.arange(len(table), dtype=np.int32)
        videos = VideoVectors(arrays)
        viewers = ViewerVectors(arrays, videos.inputs(table, rows))
        watches, now = corpus.watches, np.full(len(self.viewer), self.from_ms)
        past = histories_at(watches, self.viewer, now, watches.indptr[self.viewer + 1], arrays.history)
        u = viewers.encode_many(past, watches.profile[self.viewer])
        scores = u @ videos.embed(table, rows, self.from_ms).T
        return recall_at(top_rows(without_seen(scores, self.held), 100), self.held, len(table), 100)


def holdout_of(corpus: Corpus, config: TowerConfig, from_ms: int, until_ms: int) -> Holdout:
    """The last `holdout_ms` before `until_ms`, or the last third from `from_ms` or the first watch on where that is
    shorter, for at most `holdout_viewers` viewers."""
    watches = corpus.watches
    begins_ms = max(from_ms, int(watches.time_ms.min())) if len(watches) else from_ms
    held_from_ms = until_ms - min(config.holdout_ms, max(until_ms - begins_ms, 0) // 3)
    later = examples_of(corpus, config, held_from_ms, until_ms).at
    later = later[(watches.signal[later] & POSITIVE) > 0]
    viewer = np.unique(watches.viewer_of(later))
    rng = np.random.default_rng(config.seed)
    viewer = np.sort(rng.permutation(viewer)[: config.holdout_viewers])
    before = np.concatenate([np.arange(*watches.indptr[one : one + 2]) for one in viewer] or [np.zeros(0, np.int64)])
    before = before[watches.time_ms[before] < held_from_ms]
    later = later[np.isin(watches.viewer_of(later), viewer)]
    counts = [np.searchsorted(viewer, watches.viewer_of(at)) for at in (later, before)]
    bounds = [np.cumsum([0, *np.bincount(c, minlength=len(viewer))]) for c in counts]
    held = HeldOut(bounds[0], watches.video[later], bounds[1], watches.video[before])
    return Holdout(viewer, held_from_ms, held)


@dataclass
class Passes:
    """How far a fit has come: its curve, and the arrays of its best pass where passes are judged."""

    curve: list[EpochRecord]
    best: TowerArrays | None = None

    def over(self, config: TowerConfig) -> bool:
        """Whether no further pass is made."""
        if not self.curve or self.best is None:
            return len(self.curve) >= config.epochs
        return len(self.curve) >= config.epochs or len(self.curve) - self.top > config.patience

    @property
    def top(self) -> int:
        """The number of the best pass."""
        return max(self.curve, key=lambda record: record.recall_at_100).epoch


@dataclass(frozen=True)
class Fit:
    """What every fit of one call shares."""

    corpus: Corpus
    table: VideoTable
    from_ms: int
    words: tuple[tuple[str, ...], ...]
    start: Start | None
    checkpoints: Checkpoints
    peers: Peers

    def run(self, config: TowerConfig, until_ms: int, holdout: Holdout | None = None) -> tuple[Passes, TowerArrays]:
        """All passes on the examples before `until_ms`, from where a killed run left them; the last pass's arrays."""
        corpus, name = self.corpus, [config.model_dump(mode="json"), self.from_ms, until_ms, holdout is None]
        checkpoint = self.checkpoints.of_fit(repr([*name, len(corpus.watches), self.peers.size]))
        state = checkpoint.kept()
        known = corpus.watches.before(until_ms)
        vectors = self.start(known) if self.start and state is None else None
        examples = examples_of(corpus, config, self.from_ms, until_ms)
        trainer, passes = Trainer(corpus, examples, self.table, config, vectors, self.peers), Passes([])
        if state is not None:
            trainer.go_on(state["trainer"])
            passes.curve = [EpochRecord(*record) for record in state["curve"]]
            passes.best = TowerArrays.from_bytes(state["best"]) if state["best"] else None
        while not passes.over(config):
            loss = trainer.epoch(lambda: self._keep(checkpoint, trainer, passes, checkpoint.due(trainer.done)))
            self._judge(passes, trainer, loss, until_ms, holdout)
            self._keep(checkpoint, trainer, passes)
        return passes, exported(trainer.model, corpus, until_ms, self.words)

    def _judge(self, passes: Passes, trainer: Trainer, loss: float, until_ms: int, holdout: Holdout | None) -> None:
        recall = float("nan")
        if holdout is not None:
            arrays = exported(trainer.model, self.corpus, until_ms, self.words)
            recall = holdout.recall(arrays, self.corpus, self.table)
        passes.curve.append(EpochRecord(len(passes.curve) + 1, loss, recall))
        if holdout is not None and passes.top == len(passes.curve):
            passes.best = arrays

    def _keep(self, checkpoint: Checkpoint, trainer: Trainer, passes: Passes, due: bool = True) -> None:
        if due and checkpoint.path is not None and self.peers.rank == 0:
            best = passes.best.to_bytes() if passes.best else b""
            curve = [astuple(record) for record in passes.curve]
            checkpoint.keep({"trainer": trainer.state(), "curve": curve, "best": best})


def train_towers(
    watches: Interactions,
    table: VideoTable,
    config: TowerConfig,
    from_ms: int,
    until_ms: int,
    profile_words: tuple[tuple[str, ...], ...] = (),
    start: Start | None = None,
    checkpoints: Checkpoints | None = None,
    peers: Peers = ALONE,
) -> TrainedTowers:
    """Towers fitted to the positives in [from_ms, until_ms), each with the history strictly before it. The end is
    held out to find the best number of epochs; with `refit` everything is then trained for that number. With `start`
    the ids begin at vectors that know nothing of the end either; with `checkpoints` a killed fit goes on."""
    words = profile_words or tuple(("",) * size for size in watches.profile_sizes)
    corpus = corpus_of(watches.before(until_ms), table.upload_ms, config)
    fit = Fit(corpus, table, from_ms, words, start, checkpoints or Checkpoints(), peers)
    holdout = holdout_of(corpus, config, from_ms, until_ms)
    if config.holdout_ms == 0 or len(holdout.viewer) == 0:
        passes, arrays = fit.run(config, until_ms)
        return TrainedTowers(arrays, tuple(passes.curve))
    passes, _ = fit.run(config, holdout.from_ms, holdout)
    best = passes.best
    if config.refit:
        _, best = fit.run(config.model_copy(update={"epochs": passes.top}), until_ms)
    assert best is not None
    return TrainedTowers(best, tuple(passes.curve))
