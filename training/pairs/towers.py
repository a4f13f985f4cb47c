"""Two towers over the graph of pairs: a user is an id and the items of a history, an item an id and its takers."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn
from torch.nn import functional

from core.arrays import Float32, Int64
from training.pairs.evaluation import Quality, Scores
from training.pairs.graph import Graph, degrees
from training.pairs.pairs import Matrix
from training.pairs.softmax import softmax_loss, weighted
from training.pairs.spectral import truncated_svd


class PairTowerConfig(BaseModel):
    """Sizes of the towers and how they are trained."""

    model_config = ConfigDict(frozen=True)

    dim: int = Field(64, ge=1, description="width of a vector")
    layers: int = Field(2, ge=0, description="steps along the graph: 1 pools a history, 2 adds who else took its items")
    temperature: float = Field(0.125, gt=0, description="what cosines are divided by")
    learning_rate: float = Field(5e-3, gt=0, description="of Adam, at the start")
    last_rate: float = Field(0.1, gt=0, description="share of the learning rate that is left in the last epoch")
    batch_users: int = Field(1024, ge=1, description="users a step")
    epochs: int = Field(8, ge=1, description="passes over the users, at most")
    user_power: float = Field(0.5, ge=0, description="a user's pairs weigh count ** -power")
    edge_dropout: float = Field(0.0, ge=0, lt=1, description="share of the graph's pairs left out of each step")
    decay: float = Field(0.0, ge=0, description="weight of the mean squared length of the ids' vectors")
    first_length: float = Field(10.0, gt=0, description="the singular vectors are multiplied by this to begin with")
    prior: float = Field(0.5, description="an item's bias starts at this x the logarithm of how many took it")
    seed: int = Field(0, description="of the start, the order of users and the dropout")


@dataclass(frozen=True)
class Vectors:
    """What the towers give: `user` [users, dim + 1] and `item` [items, dim + 1] float32.

    The last of an item is its bias, and meets the 1 at the end of every user; the others are of length 1, the users'
    over the temperature."""

    user: Float32
    item: Float32

    def scores(self) -> Scores:
        """The logits of all items."""
        items = np.ascontiguousarray(self.item.T)
        return lambda users: np.asarray(self.user[users] @ items, np.float32)


@dataclass(frozen=True)
class Epoch:
    """One pass: its mean loss and the quality on the held-out pairs, where some were held out."""

    epoch: int
    loss: float
    quality: Quality | None


class PairTowers(nn.Module):
    """The ids' vectors, and what the graph makes of them."""

    def __init__(self, taken: Matrix, config: PairTowerConfig) -> None:
        super().__init__()
        self.config, self.graph = config, Graph.of(taken)
        left, values, right = truncated_svd(self.graph.forward, config.dim, config.seed)
        length = np.sqrt(values) * np.float32(config.first_length)
        self.user = nn.Parameter(torch.from_numpy(left * length))
        self.item = nn.Parameter(torch.from_numpy(right.T * length))
        self.bias = nn.Parameter(torch.from_numpy(np.float32(config.prior) * np.log(degrees(taken, 0))))

    def forward(self, graph: Graph) -> tuple[Tensor, Tensor]:
        """All users and items as `Vectors` has them: the sums over the steps along the graph, scaled."""
        users = user = torch.as_tensor(self.user)
        items = item = torch.as_tensor(self.item)
        for _ in range(self.config.layers):
            user, item = graph.to_users(item), graph.to_items(user)
            users, items = users + user, items + item
        users = functional.normalize(users, dim=1) / self.config.temperature
        items = functional.normalize(items, dim=1)
        return torch.cat([users, torch.ones(len(users), 1)], 1), torch.cat([items, self.bias[:, None]], 1)

    @torch.no_grad()
    def vectors(self) -> Vectors:
        """The vectors as arrays, over the whole graph."""
        users, items = self(self.graph)
        return Vectors(users.numpy(), items.numpy())


class PairTrainer:
    """Owns one pair of towers and its optimizer; every choice follows from the config's seed."""

    def __init__(self, taken: Matrix, config: PairTowerConfig) -> None:
        self.towers, self._config = PairTowers(taken, config), config
        self._taken = weighted(taken, config.user_power)
        self._rng = np.random.default_rng(config.seed)
        self._optimizer = torch.optim.Adam(self.towers.parameters(), config.learning_rate)

    def epoch(self, number: int) -> float:
        """One pass over the users; `number` counts from 0 and sets the learning rate. The mean loss."""
        config = self._config
        for group in self._optimizer.param_groups:
            group["lr"] = config.learning_rate * config.last_rate ** (number / max(1, config.epochs - 1))
        order = self._rng.permutation(self._taken.shape[0])
        steps = np.split(order, range(config.batch_users, len(order), config.batch_users))
        return float(np.average([self._step(np.sort(users)) for users in steps], weights=[len(s) for s in steps]))

    def _step(self, users: Int64) -> float:
        towers, config = self.towers, self._config
        graph = towers.graph.thinned(config.edge_dropout, self._rng) if config.edge_dropout else towers.graph
        rows = torch.from_numpy(users)
        user, item = towers(graph)
        highest = 1 / config.temperature + float(towers.bias.detach().max())
        loss = softmax_loss(user[rows], item, self._taken[users], highest)
        squares = towers.user.square().sum(dim=1).mean() + towers.item.square().sum(dim=1).mean()
        self._optimizer.zero_grad()
        (loss + config.decay * squares).backward()  # type: ignore[no-untyped-call]
        self._optimizer.step()
        return float(loss.detach())


@dataclass(frozen=True)
class Fitted:
    """Trained towers' vectors and how each epoch went."""

    vectors: Vectors
    curve: tuple[Epoch, ...]

    @property
    def best_epoch(self) -> int:
        """The epoch, counted from 1, with the best held-out NDCG; the last where nothing was held out."""
        judged = [(step.quality.ndcg, -step.epoch) for step in self.curve if step.quality]
        return -max(judged)[1] if judged else len(self.curve)


def fit_towers(
    taken: Matrix,
    config: PairTowerConfig,
    judge: Callable[[Scores], Quality] | None = None,
    epochs: int = 0,
    report: Callable[[Epoch], None] = lambda epoch: None,
) -> Fitted:
    """Train for `epochs` (all of the config's by default); with a judge, the vectors of the best epoch are kept."""
    trainer, curve, best = PairTrainer(taken, config), list[Epoch](), float("-inf")
    vectors = trainer.towers.vectors()
    for number in range(epochs or config.epochs):
        loss = trainer.epoch(number)
        now = trainer.towers.vectors()
        quality = judge(now.scores()) if judge else None
        curve.append(Epoch(number + 1, loss, quality))
        report(curve[-1])
        if quality is None or quality.ndcg > best:
            vectors, best = now, quality.ndcg if quality else best
    return Fitted(vectors, tuple(curve))
