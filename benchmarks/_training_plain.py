"""The plain way to feed the same towers and heads: a Dataset with an example for each index, PyTorch's own collate.

The same model, batch size, examples and negatives: `benchmarks/training.py` checks that both losses are one number.
"""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.data import Dataset

from candidate_gen.examples import GAP_BOUNDS_MS
from candidate_gen.steps import Corpus, Examples
from candidate_gen.two_towers import TwoTowers
from candidate_gen.video_fields import age_buckets


class TowerExamples(Dataset):
    """One example: the viewer's last watches before it, newest first, the profile, and the video."""

    def __init__(self, corpus: Corpus, examples: Examples, length: int) -> None:
        self._watches, self._at, self._length = corpus.watches, examples.at, length
        self._viewer = corpus.watches.viewer()

    def __len__(self) -> int:
        return len(self._at)

    def __getitem__(self, index: int) -> dict:
        w, at = self._watches, int(self._at[index])
        viewer, now = self._viewer[at], w.time_ms[at]
        start, end = w.indptr[viewer], at
        while end > start and w.time_ms[end - 1] >= now:
            end -= 1
        past = slice(max(start, end - self._length), end)
        seen = past.stop - past.start
        video, signal, gap = (np.zeros(self._length, np.int64) for _ in range(3))
        video[:seen], signal[:seen] = w.video[past][::-1], w.signal[past][::-1]
        gap[:seen] = np.searchsorted(GAP_BOUNDS_MS, now - w.time_ms[past][::-1])
        known = np.arange(self._length) < seen
        profile = w.profile[viewer].astype(np.int64)
        mine = {"history": video, "signal": signal, "gap": gap, "known": known, "profile": profile}
        return mine | {"video": int(w.video[at]), "now_ms": int(now)}


class HeadRows(Dataset):
    """One row of a ranker's matrix, by the product's own functions, and its label."""

    def __init__(self, matrix: Callable[[np.ndarray], np.ndarray], label: np.ndarray) -> None:
        self._matrix, self._label = matrix, label

    def __len__(self) -> int:
        return len(self._label)

    def __getitem__(self, index: int) -> tuple:
        return torch.from_numpy(self._matrix(np.array([index]))[0]), self._label[index]


def plain_loss(
    model: TwoTowers,
    corpus: Corpus,
    batch: dict,
    negatives: np.ndarray,
    expected: np.ndarray,
    weight: Tensor,
    by_time: bool = False,
) -> Tensor:
    """The sampled softmax over the batch's own videos and the drawn ones, each with a column of its own. With `by_time`
    the bias is worked out for each distinct time of the batch, as the product does, and not for each pair."""
    columns = torch.cat([batch["video"], torch.from_numpy(negatives)])
    size, c = len(batch["video"]), model.config

    def inputs(rows: Tensor) -> Tensor:
        return model.inputs(rows, model.codes[rows], model.content[rows])

    past = inputs(batch["history"].flatten()).reshape(*batch["history"].shape, -1)
    by_pool = model.viewer.pools.weight(batch["known"], batch["signal"], batch["gap"])
    u = model.viewer(torch.bmm(by_pool.transpose(1, 2), past), by_pool, batch["profile"])
    y = model.video(inputs(columns))
    if c.normalise:
        u, y = functional.normalize(u, dim=1), functional.normalize(y, dim=1)
    bias = _bias_by_time if by_time else _bias
    scores = (u / c.temperature) @ y.T + bias(model, corpus, columns, batch["now_ms"].numpy())
    own = scores.diagonal()
    logits = scores - torch.from_numpy(np.log(expected)).float()[columns]
    watched = torch.zeros(size, corpus.videos + 1, dtype=torch.bool)
    watched.scatter_(1, torch.where(batch["known"], batch["history"], corpus.videos), True)
    gone = watched[:, columns] | (columns[None, :] == batch["video"][:, None])
    gone[torch.arange(size), torch.arange(size)] = False
    logits = logits.masked_fill(gone, -1e9)
    logits = torch.diagonal_scatter(logits, own)
    loss = torch.logsumexp(logits, dim=1) - own
    return (loss * weight).sum() / weight.sum()


def _bias(model: TwoTowers, corpus: Corpus, columns: Tensor, now_ms: np.ndarray) -> Tensor:
    """Of each pair of an example and a column. [examples, columns]"""
    popularity, rows = corpus.popularity, columns.numpy()
    step = popularity.step(now_ms)
    share = torch.from_numpy(corpus.log_share[step[:, None], rows[None, :]])
    began = popularity.start_ms + step * popularity.step_ms
    age = torch.from_numpy(age_buckets(corpus.upload_ms[rows], began[:, None]))
    tower = model.video
    return tower.id_bias[columns] + tower.slope * share + functional.embedding(age, tower.age_bias[:, None])[..., 0]


def _bias_by_time(model: TwoTowers, corpus: Corpus, columns: Tensor, now_ms: np.ndarray) -> Tensor:
    """Of each distinct time, given to its examples. [examples, columns]"""
    popularity, rows = corpus.popularity, columns.numpy()
    steps, time = np.unique(popularity.step(now_ms), return_inverse=True)
    began = popularity.start_ms + steps * popularity.step_ms
    age = torch.from_numpy(age_buckets(corpus.upload_ms[rows], began[:, None]))
    share = torch.from_numpy(corpus.log_share[steps[:, None], rows])
    bias = model.video.bias(columns, share, age)
    return functional.embedding(torch.from_numpy(time), bias)
