"""The two towers as plain arrays: how serving embeds videos and viewers without torch."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from candidate_gen.examples import GAP_BOUNDS_MS, Histories
from candidate_gen.interactions import POSITIVE, SIGNAL_BITS, SIGNALS
from candidate_gen.popularity import log_share
from candidate_gen.video_fields import FIELDS, age_buckets, field_codes
from core.arrays import Array, Float32, Int32, Int64, pack, unpack
from core.errors import SchemaMismatch
from core.video_table import VideoTable, Vocabulary

FORMAT = 1


@dataclass(frozen=True)
class TowerArrays:
    """Everything that serving needs of trained towers: the parameters by name, and how they fit together.

    `popularity` [videos] float32: decayed counts at `trained_until_ms`. `profile_words`: the words of each
    profile field in code order, so that a query's strings find their codes."""

    parameters: Mapping[str, Float32]
    popularity: Float32
    history: int
    normalise: bool
    temperature: float
    trained_until_ms: int
    profile_words: tuple[tuple[str, ...], ...] = field(default=())

    @property
    def dim(self) -> int:
        """Width of a vector without its bias."""
        return int(self.parameters["video.linear"].shape[1])

    @property
    def videos(self) -> int:
        """How many rows the training knew."""
        return int(self.parameters["inputs.ids"].shape[0])

    def to_bytes(self) -> bytes:
        """An npz archive."""
        names = ("history", "normalise", "temperature", "trained_until_ms", "profile_words")
        document: dict[str, Any] = {name: getattr(self, name) for name in names}
        arrays = {**self.parameters, "popularity": self.popularity}
        return pack(arrays, {**document, "format": FORMAT})

    @classmethod
    def from_bytes(cls, raw: bytes) -> "TowerArrays":
        """What `to_bytes` wrote; SchemaMismatch when another format wrote it."""
        arrays, document = unpack(raw)
        if document.pop("format", None) != FORMAT:
            raise SchemaMismatch("The towers were saved in another format; train them again.")
        document["profile_words"] = tuple(tuple(words) for words in document["profile_words"])
        return cls(popularity=arrays.pop("popularity"), parameters=arrays, **document)


class VideoTower:
    """A video's row -> its vector, with its bias as the last dimension."""

    def __init__(self, arrays: TowerArrays) -> None:
        self._arrays = arrays
        self._p = arrays.parameters
        self._tables = [self._p[f"inputs.fields.{at}"] for at in range(len(FIELDS))]
        self._sizes = tuple(len(table) for table in self._tables)

    def inputs(self, table: VideoTable, rows: Int32) -> Float32:
        """What both towers read of a video; a row unknown to the training has no id part. [n, inputs]"""
        ids = self._p["inputs.ids"]
        known = rows < len(ids)
        x = np.where(known[:, None], ids[np.where(known, rows, 0)], np.float32(0))
        codes = field_codes(table, rows, self._sizes)
        for at, vectors in enumerate(self._tables):
            x = x + vectors[codes[:, at]]
        content = self._p["inputs.content"]
        if len(content) and table.embedding_dim == len(content):
            x = x + table.embedding[rows] @ content
        return np.asarray(x, np.float32)

    def embed(self, table: VideoTable, rows: Int32, now_ms: int, popularity: Float32 | None = None) -> Float32:
        """Vectors of the videos as of now; `popularity` [all rows] are fresher decayed counts. [n, dim + 1]"""
        p = self._p
        x = self.inputs(table, rows)
        y = x @ p["video.linear"]
        y += np.maximum(x @ p["video.up"] + p["video.up_bias"], 0) @ p["video.down"]
        if self._arrays.normalise:
            y /= np.maximum(np.linalg.norm(y, axis=1, keepdims=True), 1e-6)
        bias = self._bias(table, rows, now_ms, popularity)
        return np.concatenate([y, bias[:, None]], axis=1).astype(np.float32)

    def _bias(self, table: VideoTable, rows: Int32, now_ms: int, popularity: Float32 | None) -> Float32:
        id_bias = self._p["video.id_bias"]
        counts = self._arrays.popularity if popularity is None else popularity
        width = max(len(table), len(id_bias), len(counts))
        share = log_share(np.pad(counts, (0, width - len(counts))))
        bias = np.pad(id_bias, (0, width - len(id_bias)))[rows]
        bias = bias + self._p["video.slope"] * share[rows]
        age = age_buckets(table.upload_ms[rows], now_ms)
        return np.asarray(bias + self._p["video.age_bias"][age], np.float32)


class ViewerTower:
    """A viewer's recent history and profile -> the vector to search with (the last dimension, 1, meets the bias).

    `inputs` [videos, inputs] is `VideoTower.inputs` of the whole catalogue; a row beyond it is left out."""

    def __init__(self, arrays: TowerArrays, inputs: Float32) -> None:
        p = self._p = arrays.parameters
        self._arrays, self._inputs = arrays, inputs
        signals = np.arange(SIGNALS)
        bits = ((signals[:, None] >> np.arange(SIGNAL_BITS)) & 1).astype(np.float32)
        positive = (signals & POSITIVE) > 0
        members = np.stack([np.ones(SIGNALS), positive, ~positive], axis=1).astype(np.float32)
        self._signal = np.exp(bits @ p["viewer.pools.signal"]) * members
        self._rank = np.exp(p["viewer.pools.rank"])
        self._gap = np.exp(p["viewer.pools.gap"])
        self._prior = np.exp(p["viewer.pools.prior"])
        self._profile = [p[f"viewer.profile.{at}"] for at in range(len(arrays.profile_words))]
        self._words = [Vocabulary(words) for words in arrays.profile_words]

    def codes(self, profile: tuple[str, ...]) -> Int32:
        """The codes of a query's profile, 0 for each unknown or absent word. [fields] int32"""
        words = (*profile, *("",) * len(self._words))
        return np.asarray([known.code(word) for known, word in zip(self._words, words, strict=False)], np.int32)

    def encode(
        self,
        history_video: Int32,
        history_signal: Array,
        history_time_ms: Int64,
        profile: Int32,
        now_ms: int,
    ) -> Float32:
        """The viewer's vector from a history [h], oldest first (h may be 0), and profile codes. [dim + 1]"""
        last = slice(None, -self._arrays.history - 1, -1)
        gap = np.searchsorted(GAP_BOUNDS_MS, now_ms - history_time_ms[last])
        histories = Histories(history_video[last][None], history_signal[last][None], gap[None])
        vector: Float32 = self.encode_many(histories, profile[None])[0]
        return vector

    def encode_many(self, histories: Histories, profile: Int32) -> Float32:
        """Vectors of n viewers from histories [n, h], newest first, and profile codes [n, fields]. [n, dim + 1]"""
        p = self._p
        parts = [self._pools(histories)]
        parts += [
            table[np.where(codes < len(table), codes, 0)] for table, codes in zip(self._profile, profile.T, strict=True)
        ]
        f = np.concatenate(parts, axis=1)
        u = f @ p["viewer.linear"] + p["viewer.down_bias"]
        u += np.maximum(f @ p["viewer.up"] + p["viewer.up_bias"], 0) @ p["viewer.down"]
        if self._arrays.normalise:
            u /= np.maximum(np.linalg.norm(u, axis=1, keepdims=True), 1e-6)
        u /= np.float32(self._arrays.temperature)
        return np.concatenate([u, np.ones((len(u), 1), np.float32)], axis=1)

    def _pools(self, histories: Histories) -> Float32:
        video = histories.video
        known = (video >= 0) & (video < len(self._inputs))
        x = self._inputs[np.where(known, video, 0)]
        weight = self._signal[histories.signal & (SIGNALS - 1)] * self._gap[histories.gap]
        weight *= self._rank[: video.shape[1]] * known[..., None]
        total = weight.sum(axis=1)
        pooled = np.matmul(weight.transpose(0, 2, 1), x) / (total + self._prior)[..., None]
        flat = pooled.reshape(len(video), -1)
        return np.concatenate([flat, np.log1p(total)], axis=1, dtype=np.float32)
