"""Owns one model, its optimizer and its steps; all of it can be kept and gone on with."""

import math
from collections.abc import Callable
from dataclasses import asdict
from itertools import islice
from typing import Any

import numpy as np
import torch
from torch import Tensor

from candidate_gen.peers import Alone, Peers, share_of
from candidate_gen.steps import Corpus, Examples, Place, StepMaker
from candidate_gen.tower_config import TowerConfig
from candidate_gen.two_towers import TwoTowers, tensors
from core.arrays import Float32, Int64
from core.errors import InputError
from core.room import blocks
from core.video_table import VideoTable

_WARM_UP_STEPS = 50
ALONE = Alone()


def unkept() -> None:
    """For passes that nobody keeps."""


class Trainer:
    """The towers in training; with `peers` each process takes a part of every step's examples, and all end alike."""

    def __init__(
        self,
        corpus: Corpus,
        examples: Examples,
        table: VideoTable,
        config: TowerConfig,
        start: Float32 | None = None,
        peers: Peers = ALONE,
    ) -> None:
        if len(examples.at) == 0:
            raise InputError("There is no watch to learn from in this time span; widen it.")
        torch.manual_seed(config.seed)
        self._config, self._peers, self._device = config, peers, device()
        self.model = TwoTowers(config, table, corpus.watches.profile_sizes)
        if start is not None and config.start_length:
            self.model.inputs.start_from(torch.from_numpy(start[:, : config.inputs]), config.start_length)
        self.model.to(self._device)
        self.steps = StepMaker(corpus, examples, config, np.random.default_rng(config.seed))
        self.optimizer = torch.optim.AdamW(
            self.model.parameters(),
            config.learning_rate,
            betas=(0.9, 0.99),
            weight_decay=config.weight_decay,
            fused=True,
        )
        some = sum(float(np.minimum(examples.weight[span], 1).sum()) for span in blocks(len(examples.at)))
        expected = min(some, config.epoch_examples) * config.epochs / config.batch
        self._total, self.done = max(1.0, expected), 0
        self._losses: list[float] = []
        self._left: Place | None = None

    def epoch(self, after_step: Callable[[], None] = unkept, most: int | None = None) -> float:
        """One pass over the examples, or what is left of it, of so many steps at most; its mean loss."""
        self.model.train()
        for batch in islice(self.steps.epoch(self._left), most):
            self._step(batch)
            after_step()
        self.model.eval()
        mean, self._losses, self._left = float(np.mean(self._losses)), [], None
        return mean

    def _step(self, batch: Int64) -> None:
        self._set_rate()
        loss = self.loss(batch)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        kept = loss.detach()
        self._peers.add_up([kept, *(p.grad for p in self.model.parameters() if p.grad is not None)])
        self.optimizer.step()
        self.done += 1
        self._losses.append(kept.item())

    def loss(self, batch: Int64) -> Tensor:
        """The part of these examples' loss that falls to this process. []"""
        config, own = self._config, share_of(len(batch), self._peers)
        step = tensors(self.steps.make(batch, own), self._device if self._device.type != "cpu" else None)
        with torch.autocast(self._device.type, torch.bfloat16, enabled=self._half):
            loss = self.model.loss(step)
        if self._peers.size == 1:
            return loss
        weights = np.ones(len(batch)) if config.loss == "pointwise" else self.steps.weights(batch)
        return loss * float(weights[own].sum() / weights.sum())

    @property
    def _half(self) -> bool:
        precision = self._config.precision
        return precision == "bfloat16" or (precision == "auto" and self._device.type == "cuda")

    def _set_rate(self) -> None:
        warm = min(1.0, (self.done + 1) / min(_WARM_UP_STEPS, self._total))
        cosine = 0.5 * (1 + math.cos(math.pi * min(1.0, self.done / self._total)))
        for group in self.optimizer.param_groups:
            group["lr"] = self._config.learning_rate * warm * max(0.02, cosine)

    def state(self) -> dict[str, Any]:
        """Everything that the next step depends on."""
        on_gpu = self._device.type == "cuda"
        return {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "torch": torch.get_rng_state(),
            "cuda": torch.cuda.get_rng_state() if on_gpu else None,
            "steps": self.steps.rng_state,
            "place": asdict(self.steps.place) if self._losses else None,
            "done": self.done,
            "losses": list(self._losses),
        }

    def go_on(self, state: dict[str, Any]) -> None:
        """Stand where another trainer of the same examples stood."""
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        torch.set_rng_state(state["torch"])
        if state["cuda"] is not None:
            torch.cuda.set_rng_state(state["cuda"])
        self.steps.rng_state = state["steps"]
        self._left = Place(**state["place"]) if state["place"] else None
        self.done, self._losses = state["done"], list(state["losses"])


def device() -> torch.device:
    """Where towers are trained: on the GPU where there is one."""
    return torch.device("cuda") if torch.cuda.is_available() else torch.device("cpu")
