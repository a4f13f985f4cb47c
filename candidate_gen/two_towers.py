"""The two towers as one torch model over a step's arrays, and the losses that they are trained with."""

from dataclasses import fields

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from candidate_gen.fused import NEVER, fits, pooled, sampled_softmax
from candidate_gen.modules import VideoInputs, VideoTower, ViewerTower
from candidate_gen.steps import Step
from candidate_gen.tower_config import TowerConfig
from candidate_gen.video_fields import field_codes, field_sizes
from core.video_table import VideoTable


class TwoTowers(nn.Module):
    """The video and viewer towers over shared video inputs, and what is fixed about every video."""

    codes: Tensor
    content: Tensor

    def __init__(self, config: TowerConfig, table: VideoTable, profile: tuple[int, ...]) -> None:
        super().__init__()
        self.config, sizes = config, field_sizes(table)
        rows = np.arange(len(table), dtype=np.int32)
        content = (
            np.array(table.embedding, np.float32) if table.embedding_dim else np.zeros((len(table), 0), np.float32)
        )
        codes = torch.from_numpy(field_codes(table, rows, sizes).astype(np.int64))
        self.register_buffer("codes", codes, persistent=False)
        self.register_buffer("content", torch.from_numpy(content), persistent=False)
        c, videos, width = config, len(table), self.content.shape[1]
        self.inputs = VideoInputs(videos, sizes, width, c.inputs, c.id_dropout)
        self.video = VideoTower(videos, c.inputs, c.hidden, c.dim)
        self.viewer = ViewerTower(c.history, c.inputs, profile, c.profile_width, c.hidden, c.dim)

    def encoded(self, step: dict[str, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """Viewers over the temperature [n, dim], the columns' videos [columns, dim], and their bias at each time
        [times, columns]."""
        rows = step["rows"]
        x = self.inputs(rows, self.codes[rows], self.content[rows])
        weight = self.viewer.pools.weight(step["known"], step["signal"], step["gap"])
        u = self.viewer(pooled(x, step["history"], weight), weight, step["profile"])
        y = self.video(functional.embedding(step["columns"], x))
        if self.config.normalise:
            u, y = functional.normalize(u, dim=1), functional.normalize(y, dim=1)
        bias = self.video.bias(rows[step["columns"]], step["log_share"], step["age"])
        return u / self.config.temperature, y, bias

    def forward(self, step: dict[str, Tensor]) -> Tensor:
        """Uncorrected scores of the step's columns. [n, columns]"""
        u, y, bias = self.encoded(step)
        scores: Tensor = u @ y.T
        return scores + functional.embedding(step["time"], bias)

    def loss(self, step: dict[str, Tensor]) -> Tensor:
        """The configured loss of the step. []"""
        c = self.config
        u, y, bias = self.encoded(step)
        if c.loss == "pointwise":
            own = (u * functional.embedding(step["positive"], y)).sum(dim=1).float()
            own = own + bias[step["time"], step["positive"]]
            return functional.binary_cross_entropy_with_logits(own, step["outcome"])
        if fits(u) and fits(y):
            return sampled_softmax(u, y, bias, step, c.history_hits, c.accidental_hits)
        scores = (u @ y.T).float() + functional.embedding(step["time"], bias)
        return softmax_loss(scores, step, c)


def tensors(step: Step, device: torch.device | None = None) -> dict[str, Tensor]:
    """The step's arrays as tensors, over the same memory where they stay there."""
    own = {item.name: torch.from_numpy(getattr(step, item.name)) for item in fields(step)}
    return own if device is None else {name: tensor.to(device, non_blocking=True) for name, tensor in own.items()}


def softmax_loss(scores: Tensor, step: dict[str, Tensor], config: TowerConfig) -> Tensor:
    """Cross entropy of a sampled softmax: the positive as it is, every other column corrected by `correction`. []"""
    positive = step["positive"][:, None]
    own = scores.gather(1, positive)
    logits = scores + step["correction"]
    if config.history_hits:
        logits[step["hits"][0], step["hits"][1]] = NEVER
    kept = own
    if not config.accidental_hits:
        copy = step["correction"][positive].exp() / (step["repeats"][:, None] + 1)
        kept = own + torch.log1p(step["repeats"][:, None] * copy)
    logits = logits.scatter_(1, positive, kept)
    loss = torch.logsumexp(logits, dim=1) - own[:, 0]
    weight = step["weight"]
    return (loss * weight).sum() / weight.sum()
