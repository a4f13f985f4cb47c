"""Towers that learn on: a bundle's parameters in a model of today's catalogue and viewers, and a pass over the newest
watches."""

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import nn

from candidate_gen.interactions import Interactions
from candidate_gen.steps import corpus_of, examples_of
from candidate_gen.tower_config import TowerConfig
from candidate_gen.towers import TowerArrays
from candidate_gen.train_towers import exported
from candidate_gen.trainer import Trainer
from core.arrays import Float32
from core.errors import ForyouError
from core.video_table import VideoTable

# Rows of these are videos: one that came later has nothing of its own yet, as serving takes it.
_BY_VIDEO = ("inputs.ids", "video.id_bias")
# Rows of these are words: one that came later begins as the unknown word that it was until now.
_BY_WORD = ("inputs.fields.", "viewer.profile.")


class CannotContinue(ForyouError):
    """A bundle is of another shape than what is configured now; only a full training leads from one to the other."""


def continued_towers(
    before: TowerArrays, watches: Interactions, table: VideoTable, config: TowerConfig, from_ms: int, until_ms: int
) -> tuple[TowerArrays, tuple[float, ...]]:
    """The towers after passes over the watches in [from_ms, until_ms), and each pass's mean loss; before the first
    pass they say what they said. CannotContinue where the configuration is of another shape."""
    same_shape(before, config)
    corpus = corpus_of(_widened(watches, before).before(until_ms), table.upload_ms, config)
    trainer = Trainer(corpus, examples_of(corpus, config, from_ms, until_ms), table, config)
    carry_over(before.parameters, trainer.model)
    losses = tuple(trainer.epoch() for _ in range(config.epochs))
    words = tuple(() for _ in corpus.watches.profile_sizes)
    return exported(trainer.model, corpus, until_ms, words), losses


def same_shape(before: TowerArrays, config: TowerConfig) -> None:
    """Raise CannotContinue unless the configuration's towers read and compute as these do."""
    p = before.parameters
    were = {
        "dim": before.dim, "inputs": p["video.linear"].shape[0], "hidden": len(p["video.up_bias"]),
        "profile_width": p["viewer.profile.0"].shape[1] if "viewer.profile.0" in p else config.profile_width,
        "history": before.history, "normalise": before.normalise, "temperature": before.temperature,
    }  # fmt: skip
    for name, was in were.items():
        now = getattr(config, name)
        if was != now:
            raise CannotContinue(f"its towers have {name} {was} and the configuration asks for {now}")


def carry_over(parameters: Mapping[str, Float32], model: nn.Module) -> None:
    """Put the parameters into a model whose tables may have grown; CannotContinue where they do not fit."""
    with torch.no_grad():
        for name, now in model.named_parameters():
            was = torch.tensor(parameters[name]) if name in parameters else torch.zeros(0)
            grows = name.startswith((*_BY_VIDEO, *_BY_WORD))
            if was.shape[1:] != now.shape[1:] or (len(was) > len(now) if grows else len(was) != len(now)):
                shapes = f"{tuple(was.shape)} and today's data make it {tuple(now.shape)}"
                raise CannotContinue(f"its towers' {name} has shape {shapes}")
            now[: len(was)] = was
            if len(now) > len(was):
                now[len(was) :] = was[0] if name.startswith(_BY_WORD) else 0.0


def _widened(watches: Interactions, before: TowerArrays) -> Interactions:
    """The same, with room for every word that the towers know."""
    known = [len(before.parameters[f"viewer.profile.{at}"]) for at in range(len(before.profile_words))]
    sizes = watches.profile_sizes
    return replace(watches, profile_sizes=tuple(max(pair) for pair in zip(sizes, known, strict=True)))
