"""The two towers as torch modules: training only; serving reads their arrays (`towers.py`)."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from candidate_gen.examples import GAP_BUCKETS
from candidate_gen.fused import taken
from candidate_gen.interactions import POSITIVE, SIGNAL_BITS, SIGNALS
from candidate_gen.video_fields import AGES

POOLS = 3  # all watches, positives, the rest
_OWN_ID, _OWN_FIELD = 0.2, 0.3  # what is left of the random start beside given vectors


def small(*shape: int, scale: float = 0.05) -> nn.Parameter:
    """A parameter drawn from a normal distribution of this scale."""
    return nn.Parameter(torch.randn(*shape) * scale)


def pool_members() -> Tensor:
    """Which pools a watch with each signal belongs to: all, positives, the rest. [signals, pools]"""
    positive = (torch.arange(SIGNALS) & POSITIVE) > 0
    return torch.stack([torch.ones(SIGNALS), positive.float(), (~positive).float()], dim=1)


class VideoInputs(nn.Module):
    """x = id + author + topic + language + region + cluster + duration + content W: the vector of a video, shared
    by both towers. Ids (and authors) are dropped at random in training, so that the rest alone is usable."""

    def __init__(self, videos: int, sizes: tuple[int, ...], content: int, dim: int, drop: float) -> None:
        super().__init__()
        self.drop = drop
        self.ids = small(videos, dim)
        self.fields = nn.ParameterList([small(size, dim) for size in sizes])
        self.content = small(content, dim)

    def start_from(self, vectors: Tensor, length: float) -> None:
        """Let ids begin at `vectors` [videos, <= dim], scaled to `length`, with little of their own and of the fields.
        Those of nobody's video, zero, count for no length."""
        known = vectors.abs().sum(dim=1) > 0
        scale = length / vectors[known].pow(2).sum(dim=1).mean().sqrt() if known.any() else 0.0
        with torch.no_grad():
            self.ids.mul_(_OWN_ID)
            self.ids[:, : vectors.shape[1]] += scale * vectors
            for table in self.fields:
                table.mul_(_OWN_FIELD)

    def forward(self, rows: Tensor, codes: Tensor, content: Tensor) -> Tensor:
        """[n] rows, [n, fields] codes, [n, content] -> [n, dim]"""
        keep = torch.ones(len(rows), 2, device=rows.device)
        if self.training and self.drop > 0:
            keep = (torch.rand(len(rows), 2, device=rows.device) >= self.drop).float()
        x = functional.embedding(rows, self.ids) * keep[:, :1]
        author = codes[:, 0] * keep[:, 1].long()
        for at, table in enumerate(self.fields):
            x = x + functional.embedding(author if at == 0 else codes[:, at], table)
        return x + content @ self.content if content.shape[1] else x


class VideoTower(nn.Module):
    """y = x W + relu(x A + a) B, and the bias of the video by its age and recent popularity."""

    def __init__(self, videos: int, inputs: int, hidden: int, dim: int) -> None:
        super().__init__()
        self.linear = nn.Parameter(torch.eye(inputs, dim) + torch.randn(inputs, dim) * 0.02)
        self.up, self.up_bias = small(inputs, hidden), nn.Parameter(torch.zeros(hidden))
        self.down = small(hidden, dim, scale=0.02)
        self.id_bias = nn.Parameter(torch.zeros(videos))
        self.age_bias = nn.Parameter(torch.zeros(AGES))
        self.slope = nn.Parameter(torch.full((1,), 0.5))

    def forward(self, x: Tensor) -> Tensor:
        """[n, inputs] -> [n, dim]"""
        return x @ self.linear + torch.relu(x @ self.up + self.up_bias) @ self.down

    def bias(self, rows: Tensor, log_share: Tensor, age: Tensor) -> Tensor:
        """[n] rows, [times, n] log_share and age buckets -> [times, n]"""
        return taken(self.id_bias, rows) + self.slope * log_share + taken(self.age_bias, age)


class HistoryPools(nn.Module):
    """pool = sum w x / (sum w + prior), w = exp(signal + rank + gap), each pool with its own weights."""

    members: Tensor

    def __init__(self, length: int) -> None:
        super().__init__()
        self.register_buffer("members", pool_members(), persistent=False)
        self.register_buffer(
            "bits",
            ((torch.arange(SIGNALS)[:, None] >> torch.arange(SIGNAL_BITS)) & 1).float(),
            persistent=False,
        )
        self.signal = nn.Parameter(torch.zeros(SIGNAL_BITS, POOLS))
        self.rank = nn.Parameter(-0.03 * torch.arange(length).float()[:, None].repeat(1, POOLS))
        self.gap = nn.Parameter(torch.zeros(GAP_BUCKETS, POOLS))
        self.prior = nn.Parameter(torch.zeros(POOLS))

    bits: Tensor

    def weight(self, known: Tensor, signal: Tensor, gap: Tensor) -> Tensor:
        """What each watch counts: known [n, length] bool, signal and gap [n, length] -> [n, length, pools]"""
        logit = functional.embedding(signal, self.bits @ self.signal)
        logit = logit + self.rank + functional.embedding(gap, self.gap)
        return logit.exp() * functional.embedding(signal, self.members) * known[..., None]

    def forward(self, sums: Tensor, weight: Tensor) -> Tensor:
        """Weighted sums [n, pools, inputs], weight [n, length, pools] -> [n, pools * inputs + pools]"""
        total = weight.sum(dim=1)
        means = sums / (total + self.prior.exp())[..., None]
        return torch.cat([means.flatten(1), torch.log1p(total)], dim=1)


class ViewerTower(nn.Module):
    """u = (f W + relu(f A + a) B + b) / temperature, f = the pools of the history and the profile's embeddings."""

    def __init__(self, length: int, inputs: int, profile: tuple[int, ...], width: int, hidden: int, dim: int) -> None:
        super().__init__()
        self.pools = HistoryPools(length)
        self.profile = nn.ParameterList([small(size, width) for size in profile])
        features = POOLS * inputs + POOLS + width * len(profile)
        eye = torch.cat([torch.eye(inputs, dim) / POOLS] * POOLS)
        linear = torch.randn(features, dim) * 0.02
        linear[: POOLS * inputs] += eye
        self.linear = nn.Parameter(linear)
        self.up, self.up_bias = small(features, hidden), nn.Parameter(torch.zeros(hidden))
        self.down, self.down_bias = small(hidden, dim), nn.Parameter(torch.zeros(dim))

    def forward(self, sums: Tensor, weight: Tensor, profile: Tensor) -> Tensor:
        """The history as HistoryPools takes it, profile [n, fields] codes -> [n, dim]"""
        parts = [functional.embedding(profile[:, at], table) for at, table in enumerate(self.profile)]
        f = torch.cat([self.pools(sums, weight), *parts], dim=1)
        hidden = torch.relu(f @ self.up + self.up_bias)
        return f @ self.linear + hidden @ self.down + self.down_bias
