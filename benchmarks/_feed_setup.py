"""What the feed benchmark measures on: 50,000 synthetic videos, random counters, towers and heads of real shapes."""

from dataclasses import dataclass

import lightgbm as lgb
import numpy as np

from candidate_gen.examples import GAP_BUCKETS
from candidate_gen.index import IndexConfig, VideoIndex, one_thread
from candidate_gen.interactions import SIGNAL_BITS
from candidate_gen.item_to_item import Neighbours
from candidate_gen.towers import TowerArrays
from candidate_gen.video_fields import AGES, field_sizes
from core.manifest import Manifest
from core.query import Query
from core.stages import Surface
from core.video_table import VideoTable, Vocabulary
from features import layout as L
from features.definitions import schema_hash
from features.online import OnlineFeatures
from features.raw import PAIR_QUANTUM, VIDEO_QUANTA, VIEWER_QUANTA
from features.state import FeatureState
from feeds.bundle import RANKER_NAMES, Bundle
from feeds.config import ForYouConfig
from feeds.cross import unit_rows
from feeds.exploration.new_videos import new_videos
from feeds.exploration.source import NewVideoSource
from feeds.reranking import ActiveRules, PinnedSource
from feeds.sources import for_you_sources
from feeds.surfaces import for_you
from feeds.tower_pair import TowerPair
from ranking.bins import SharedBins
from ranking.head_config import HeadConfig
from ranking.heads import TrainedHeads, train_heads
from ranking.value_model import DEFAULT_WEIGHTS, ValueModel

VIDEOS, AUTHORS, TOPICS, DIM, NEIGHBOURS = 50_000, 6_000, 40, 64, 50
TREES, LEAVES, TRAINING_ROWS = 150, 31, 6_000
POOL_PARTS = {"signal": SIGNAL_BITS, "rank": 50, "gap": GAP_BUCKETS}
AMOUNTS = {"watch_ratio": "mean", "watch_time": "median"}
NOW_MS = 1_704_067_200_000 + 30 * L.DAY_MS
CONFIG = ForYouConfig(two_tower_quota=800, item_to_item_quota=400, pre_rank_keep=1_000)


@dataclass(frozen=True)
class Setup:
    """The product's parts, and the same heads as LightGBM boosters over raw feature values."""

    state: FeatureState
    bundle: Bundle
    surface: Surface
    boosters: dict[str, lgb.Booster]
    towers: TowerArrays


def make(seed: int = 0) -> Setup:
    """Everything from one seed."""
    one_thread()
    rng = np.random.default_rng(seed)
    state = FeatureState(catalogue(rng))
    state.ensure()
    for counters in (state.videos, state.authors, state.trends):
        fill_counters(counters.records, VIDEO_QUANTA, rng)
    towers = tower_arrays(rng, state.table)
    bundle = untrained_bundle(rng, state, towers)
    bins, trained = train(rng, bundle)
    bundle.ranker = trained.ranker(bins, *validation(rng, bundle, bins))
    bundle.ranker.warm_up()
    new, rules = new_videos(state, CONFIG, NOW_MS), ActiveRules((), state.table)
    sources = for_you_sources(bundle, state, CONFIG, NOW_MS)
    sources = (*sources, NewVideoSource(new, CONFIG), PinnedSource(rules))
    surface = for_you(sources, state.table, bundle, CONFIG, new, rules)
    boosters = {name: raw_booster(head.model, bins) for name, head in trained.heads.items()}
    return Setup(state, bundle, surface, boosters, towers)


def catalogue(rng: np.random.Generator) -> VideoTable:
    """VIDEOS videos uploaded over the last month."""
    table = VideoTable(VIDEOS)
    centres = rng.normal(size=(TOPICS, DIM))
    topic = rng.integers(0, TOPICS, VIDEOS)
    author = (AUTHORS * rng.random(VIDEOS) ** 2).astype(int)
    words = {
        "author": [f"a{a}" for a in author],
        "topic": [f"t{t}" for t in topic],
        "language": [f"l{x}" for x in rng.integers(0, 5, VIDEOS)],
        "region": [f"r{x}" for x in rng.integers(0, 4, VIDEOS)],
        "cluster": [f"c{x}" for x in rng.integers(0, 20, VIDEOS)],
    }
    length = np.exp(rng.normal(10.0, 0.8, VIDEOS)).astype(np.int64) + 3_000
    upload = NOW_MS - (30 * L.DAY_MS * rng.random(VIDEOS)).astype(np.int64)
    embedding = (centres[topic] + rng.normal(size=(VIDEOS, DIM))).astype(np.float32)
    table.extend([f"v{row}" for row in range(VIDEOS)], words, length, upload, ["public"] * VIDEOS, embedding)
    return table


def fill_counters(records: np.ndarray, quanta: np.ndarray, rng: np.random.Generator) -> None:
    """Random counts: every action a random share of the watches, last touched within three days."""
    rows, halves, actions = records["counts"].shape
    watches = rng.gamma(0.5, 60.0, (rows, 1, 1)) * np.linspace(0.3, 1.0, halves)[None, :, None]
    counts = watches * rng.random((rows, halves, actions)) ** 2
    counts[..., L.WATCHES] = watches[..., 0]
    records["counts"] = (counts * L.UNIT).astype(np.int64)
    touched = NOW_MS - (3 * L.DAY_MS * rng.random((rows, 1))).astype(np.int64)
    records["steps"] = touched // quanta[None, :]
    if "totals" in records.dtype.names:
        records["totals"] = (counts[:, -1, :5] * 2).astype(np.int64)


def tower_arrays(rng: np.random.Generator, table: VideoTable) -> TowerArrays:
    """Random parameters of the default shapes: width 64, hidden layer 128, history 50, 3 pools."""
    pools, width, hidden, profile = 3, 8, 128, 4 + L.TRAITS
    features = pools * DIM + pools + width * profile
    popularity = rng.gamma(0.5, 60.0, VIDEOS).astype(np.float32)

    def draw(*shape: int, scale: float = 0.1) -> np.ndarray:
        return (scale * rng.normal(size=shape)).astype(np.float32)

    inputs = {"inputs.ids": draw(VIDEOS, DIM), "inputs.content": draw(DIM, DIM)}
    parameters = inputs | {
        **{f"inputs.fields.{at}": draw(size, DIM) for at, size in enumerate(field_sizes(table))},
        "video.linear": draw(DIM, DIM),
        "video.up": draw(DIM, hidden),
        "video.up_bias": draw(hidden),
        "video.down": draw(hidden, DIM),
        "video.id_bias": draw(VIDEOS),
        "video.age_bias": draw(AGES),
        "video.slope": draw(1),
        **{f"viewer.pools.{name}": draw(size, pools) for name, size in POOL_PARTS.items()},
        "viewer.pools.prior": draw(pools),
        **{f"viewer.profile.{at}": draw(8, width) for at in range(profile)},
        "viewer.linear": draw(features, DIM),
        "viewer.up": draw(features, hidden),
        "viewer.up_bias": draw(hidden),
        "viewer.down": draw(hidden, DIM),
        "viewer.down_bias": draw(DIM),
    }
    return TowerArrays(parameters, popularity, 50, False, 1.0, NOW_MS, ((),) * profile)


def untrained_bundle(rng: np.random.Generator, state: FeatureState, towers: TowerArrays) -> Bundle:
    """Everything but the ranker."""
    table, rows = state.table, np.arange(VIDEOS, dtype=np.int32)
    pair = TowerPair.over(towers, table, NOW_MS)
    # distinct for each video, as real neighbours are
    near = ((rows[:, None] + rng.choice(VIDEOS - 1, NEIGHBOURS, replace=False) + 1) % VIDEOS).astype(np.int32)
    strength = np.sort(rng.random((VIDEOS, NEIGHBOURS)).astype(np.float32), axis=1)[:, ::-1].copy()
    return Bundle(
        manifest=manifest(),
        towers=pair,
        affinity=TowerPair.over(tower_arrays(rng, table), table, NOW_MS),
        unit_content=unit_rows(table.embedding),
        index=VideoIndex.build(rows, pair.vectors, IndexConfig()),
        neighbours=Neighbours(near, strength),
        ranker=None,
        value_model=ValueModel(),
        online=OnlineFeatures(state, Vocabulary(["for_you"]), 1),
        table=table,
    )


def manifest() -> Manifest:
    """A manifest without files."""
    return Manifest(
        bundle_id="benchmark", created_ms=NOW_MS, feature_schema=schema_hash(), feature_names=RANKER_NAMES,
        data_from_ms=0, data_until_ms=NOW_MS, applied_offset=0, impressions=0, seed=0, heads=(),
        value_weights=dict(DEFAULT_WEIGHTS), metrics={}, versions={}, files={},
    )  # fmt: skip


def train(rng: np.random.Generator, bundle: Bundle) -> tuple[SharedBins, TrainedHeads]:
    """Ten heads on labels drawn from the features; every tree is kept."""
    values = sample(rng, bundle, TRAINING_ROWS)
    bins = SharedBins.fit(values)
    codes, labels = bins.codes(values), draw_labels(rng, values)
    configs = [
        HeadConfig(name=name, objective=AMOUNTS.get(name, "binary"), leaves=LEAVES, rounds=TREES,
                   early_stopping_rounds=0, min_rows_in_leaf=20, min_positives=1)
        for name in labels
    ]  # fmt: skip
    few = {name: label[:100] for name, label in labels.items()}
    return bins, train_heads(codes, labels, codes[:100], few, RANKER_NAMES, configs, threads=1)


def validation(rng: np.random.Generator, bundle: Bundle, bins: SharedBins) -> tuple[np.ndarray, dict]:
    """Codes and labels that calibrate."""
    values = sample(rng, bundle, 1_000)
    return bins.codes(values), draw_labels(rng, values)


def sample(rng: np.random.Generator, bundle: Bundle, rows: int) -> np.ndarray:
    """Feature values of random videos for random viewers, 200 each. [rows, features] float32"""
    parts = []
    for number in range(rows // 200):
        query, picked = draw_query(rng, number), rng.integers(0, VIDEOS, 200).astype(np.int32)
        parts.append(bundle.features(query, picked, bundle.tower_scores(query, picked)))
    return np.concatenate(parts)


def draw_labels(rng: np.random.Generator, values: np.ndarray) -> dict[str, np.ndarray]:
    """A label of each head from a random smooth function of the standardised features."""
    scaled = np.tanh((values - values.mean(axis=0)) / (values.std(axis=0) + 1e-6))
    labels = {}
    for name in DEFAULT_WEIGHTS:
        chance = 1 / (1 + np.exp(-scaled @ rng.normal(0, 0.3, values.shape[1])))
        drawn = rng.random(len(values)) < chance
        labels[name] = (10 * chance if name == "watch_time" else chance if name == "watch_ratio" else drawn) * 1.0
    return labels


def raw_booster(model: str, bins: SharedBins) -> lgb.Booster:
    """The same trees over raw values: a code at most t is a value at most the t-th bound, so only thresholds change."""
    lines, features = [], np.zeros(0, np.int64)
    for line in model.split("\n"):
        if line.startswith("tree_sizes="):
            continue
        if line.startswith("split_feature="):
            features = np.array(line.split("=")[1].split(), np.int64)
        if line.startswith("threshold="):
            codes = np.floor(np.array(line.split("=")[1].split(), np.float64)).astype(np.int64)
            bounds = [float(bins.upper[f, t - 1]) if t else -np.inf for f, t in zip(features, codes, strict=True)]
            line = "threshold=" + " ".join(map(repr, bounds))
        lines.append(line)
    return lgb.Booster(model_str="\n".join(lines))


def draw_query(rng: np.random.Generator, number: int) -> Query:
    """A viewer with 50 watches, random counters and slots, 200 seen videos, some follows, blocks and hidden authors."""
    seen = np.unique(rng.integers(0, VIDEOS, 200)).astype(np.int32)
    authors = rng.permutation(AUTHORS - 1)[:60].astype(np.int32) + 1
    return Query(
        viewer_id=f"u{number}", surface="for_you", session_id="s", now_ms=NOW_MS, page=0, limit=20, seed=number,
        region=f"r{number % 4}", viewer_state=draw_viewer(rng, seen), seen=seen, served=seen[:40],
        follows=authors[:40], blocked_authors=authors[40:50], hidden_authors=authors[50:],
    )  # fmt: skip


def draw_viewer(rng: np.random.Generator, seen: np.ndarray) -> np.ndarray:
    """A viewer's record with every slot taken. [1] VIEWER_DTYPE"""
    record = np.zeros(1, L.VIEWER_DTYPE)
    fill_counters(record, VIEWER_QUANTA, rng)
    record["session"] = [NOW_MS - 600_000, NOW_MS - 20_000, 14, 5, 6, 2]
    record["session_ratio"] = 6 * L.UNIT
    record["profile"] = [1 + rng.integers(4), 1 + rng.integers(5), 0, 0, 1, 2]
    record["traits"] = rng.integers(0, 6, L.TRAITS)
    record["history_len"] = L.HISTORY
    record["history_video"] = rng.permutation(seen)[: L.HISTORY]
    record["history_signal"] = rng.choice([0, 1, 3, 8, 16, 33], L.HISTORY)
    record["history_time_ms"] = NOW_MS - np.sort(rng.integers(60_000, 5 * L.DAY_MS, L.HISTORY))[::-1]
    for family, (start, slots) in enumerate(zip(L.SLOT_START, L.SLOTS, strict=False)):
        keys = {0: AUTHORS, 1: TOPICS + 1, 2: 8, 3: 21, 4: 84, 5: 8}[family]
        record["pair_key"][0, start : start + slots] = 1 + rng.permutation(keys)[:slots]
    record["pair_step"] = (NOW_MS - rng.integers(0, 20 * L.DAY_MS, record["pair_step"].shape)) // PAIR_QUANTUM
    record["pair_count"] = (L.PAIR_UNIT * rng.gamma(0.6, 4.0, record["pair_count"].shape)).astype(np.int32)
    record["taste"] = rng.normal(size=L.TASTE_DIM)
    record["taste_weight"], record["taste_step"] = 20.0, NOW_MS // PAIR_QUANTUM - 30
    return record
