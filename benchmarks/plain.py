"""The plain way to serve the For-You feed: one object for each candidate, features in Python, a predict for each head.

The same stages, models and answers as the product: `benchmarks/feed.py` checks that before it times both.
"""

import math
from dataclasses import dataclass, field

import faiss
import lightgbm as lgb
import numpy as np

from benchmarks._plain_exploration import explored_page, new_rows, thompson
from benchmarks._plain_features import Video, Viewer, candidate_features
from candidate_gen.boards import Board
from candidate_gen.interactions import signal_weight
from candidate_gen.sources import ItemToItemSourceConfig
from core.query import Query
from feeds.bundle import RANKER_NAMES, Bundle
from feeds.config import ForYouConfig

GUARANTEED, RECENT_REACTIONS, WINDOW, LOCAL_SHARE = 30, 10, 10, 0.5


@dataclass(slots=True)
class Candidate:
    """One video on its way to the page."""

    video: Video
    sources: list[int]
    tower: float = 0.0
    pre_rank: float = 0.0
    features: dict[str, float] = field(default_factory=dict)
    value: float = 0.0
    value_rank: int = 0
    adjusted: float = 0.0
    explored: float = 0.0
    thompson: float = 0.0
    similarity: float = 0.0

    @property
    def author(self) -> int:
        """The author's code."""
        return self.video.author


class PlainFeed:
    """The feed over Python objects; `boards` are (fresh, popular, promising), `boosters` read raw feature values, `new`
    are the rows that may be explored. Pages that are drawn as a whole are not made."""

    def __init__(
        self,
        videos: list[Video],
        bundle: Bundle,
        boosters: dict[str, lgb.Booster],
        boards: tuple[Board, Board, Board],
        new: list[int],
        config: ForYouConfig,
    ) -> None:
        self._new, self._may = new, set(new)
        self._videos, self._bundle, self._boosters, self._config = videos, bundle, boosters, config
        self._boards = boards
        self._index = faiss.IndexFlatIP(bundle.towers.vectors.shape[1])
        self._index.add(bundle.towers.vectors)
        table = bundle.table
        self._ids = table.video_ids
        self._region_codes = {word: code for code, word in enumerate(table.regions.words)}

    def page(self, query: Query) -> list[Candidate]:
        """The page's videos in order."""
        viewer = Viewer(query)
        vector = self._bundle.towers.viewer.encode(*viewer.history_arrays, viewer.tower_codes, query.now_ms)
        affinity = self._bundle.affinity.viewer
        viewer.affinity = affinity.encode(*viewer.history_arrays, viewer.tower_codes, query.now_ms)
        candidates = self._retrieve(query, viewer, vector)
        candidates = [c for c in candidates if allowed(c.video, query, viewer)]
        candidates = self._pre_rank(candidates, vector)
        self._rank(candidates, viewer)
        self._demote(candidates, viewer)
        page = self._diversify(candidates, viewer, query.limit)
        return self._explore(candidates, page, query)

    def _retrieve(self, query: Query, viewer: Viewer, vector: np.ndarray) -> list[Candidate]:
        """Every source's rows, one candidate for each video."""
        gone = viewer.seen | viewer.served
        found: dict[int, Candidate] = {}
        c, region = self._config, self._region_codes.get(query.region, 0)
        fresh, popular, promising = self._boards
        for number, rows in enumerate(
            (
                self._nearest(vector, gone),
                self._neighbours(viewer, gone),
                board_rows(fresh, region, c.fresh_quota, gone),
                board_rows(popular, region, c.popular_quota, gone),
                board_rows(self._understood(promising, viewer, region), region, c.promising_quota, gone),
                new_rows(self._new, query, c.new_video_quota, gone),
            )
        ):
            for row in rows:
                if row in found:
                    found[row].sources.append(number)
                else:
                    found[row] = Candidate(self._videos[row], [number])
        return list(found.values())

    def _understood(self, board: Board, viewer: Viewer, region: int) -> Board:
        """The board without the languages that the viewer does not speak."""
        spoken = {0, *viewer.profile[1:4]}
        if len(spoken) == 1:
            return board
        parts = (board.everywhere, board.by_region.get(region, board.everywhere[:0]))
        kept = [[row for row in rows.tolist() if self._videos[row].language in spoken] for rows in parts]
        everywhere, own = (np.array(rows, np.int32) for rows in kept)
        return Board(everywhere, {region: own} if region in board.by_region else {})

    def _nearest(self, vector: np.ndarray, gone: set[int]) -> list[int]:
        quota = self._config.two_tower_quota
        _, rows = self._index.search(vector[None], quota + min(len(gone), 1000))
        return [row for row in rows[0].tolist() if row not in gone][:quota]

    def _neighbours(self, viewer: Viewer, gone: set[int]) -> list[int]:
        config, near = ItemToItemSourceConfig(), self._bundle.neighbours
        rank = np.arange(len(viewer.history) - 1, -1, -1)
        weights = signal_weight(viewer.history_arrays[1], config.signal_weights) * config.decay**rank
        total: dict[int, float] = {}
        for (row, _), weight in zip(viewer.history, weights.astype(np.float32), strict=True):
            scores = (near.scores[row] * weight).tolist()
            for other, score in zip(near.rows[row].tolist(), scores, strict=True):
                if other >= 0:
                    total[other] = total.get(other, 0.0) + score
        best = sorted(total, key=lambda row: (-np.float32(total[row]), row))
        return [row for row in best if total[row] > 0 and row not in gone][: self._config.item_to_item_quota]

    def _pre_rank(self, candidates: list[Candidate], vector: np.ndarray) -> list[Candidate]:
        """The best by the light score, and the first few of every source."""
        towers = (self._bundle.towers.vectors[[c.video.row for c in candidates]] @ vector).tolist()
        given: dict[int, int] = {}
        sure, others = [], []
        for candidate, tower in zip(candidates, towers, strict=True):
            candidate.tower = tower
            candidate.pre_rank = tower + 0.5 * (len(candidate.sources) - 1)
            source = candidate.sources[0]
            given[source] = given.get(source, 0) + 1
            (sure if given[source] <= GUARANTEED else others).append(candidate)
        if len(candidates) <= self._config.pre_rank_keep:
            return sorted(candidates, key=lambda c: -c.pre_rank)
        merged = sorted(sure, key=lambda c: -c.pre_rank) + sorted(others, key=lambda c: -c.pre_rank)
        return sorted(merged[: self._config.pre_rank_keep], key=lambda c: -c.pre_rank)

    def _rank(self, candidates: list[Candidate], viewer: Viewer) -> None:
        """Features, heads, value."""
        affinity = self._bundle.affinity.vectors[[c.video.row for c in candidates]] @ viewer.affinity
        for at, candidate in enumerate(candidates):
            candidate.features = candidate_features(viewer, candidate.video, candidate.tower, self._bundle)
            candidate.features["affinity"] = float(affinity[at])
            candidate.features["position"] = 0.0  # as if shown first
            candidate.features["session_length_lift"] = 0.0  # no length divides this bundle's sessions
        rows = np.array([[c.features[name] for name in RANKER_NAMES] for c in candidates], np.float32)
        calibrators = self._bundle.ranker.calibrators
        predictions = {}
        for head, booster in self._boosters.items():
            scores = booster.predict(rows, raw_score=True, num_threads=1)
            predictions[head] = calibrators[head].apply(scores).tolist()
        weights = self._bundle.value_model.config.weights
        for at, candidate in enumerate(candidates):
            for head, weight in weights.items():
                if weight and head in predictions:
                    candidate.value += weight * predictions[head][at]
        for rank, candidate in enumerate(sorted(candidates, key=lambda c: -c.value)):
            candidate.value_rank = rank

    def _demote(self, candidates: list[Candidate], viewer: Viewer) -> None:
        """Less value for what resembles a disliked video, more for what resembles one liked, and for little watched."""
        c, content = self._config, self._bundle.unit_content
        said = (viewer.disliked, viewer.said_disliked), (viewer.liked, viewer.said_liked)
        disliked, liked = (content[marked[-RECENT_REACTIONS:] + unwatched] for marked, unwatched in said)
        for candidate in candidates:
            own = content[candidate.video.row]
            lost, gained = (float((rows @ own).max(initial=0.0)) for rows in (disliked, liked))
            candidate.adjusted = candidate.value - c.dislike_weight * lost + c.like_weight * gained
            known = 1.0 + candidate.features["video_watches_30d"] / c.exploration_watches
            candidate.explored = candidate.adjusted + c.exploration_weight / math.sqrt(known)

    def _explore(self, candidates: list[Candidate], page: list[Candidate], query: Query) -> list[Candidate]:
        """Some places of the page for videos that may be explored."""
        new = [candidate for candidate in candidates if candidate.video.row in self._may]
        for candidate in new:
            watches, video_id = candidate.features["video_watches_30d"], self._ids[candidate.video.row]
            candidate.thompson = thompson(candidate.explored, watches, video_id, query.now_ms, self._config)
        return explored_page(page, new, query, self._config, lambda candidate: candidate.video.row)

    def _diversify(self, candidates: list[Candidate], viewer: Viewer, limit: int) -> list[Candidate]:
        """Greedy: value less similarity to the page, and repeats among what was watched lately and the page."""
        c, content = self._config, self._bundle.unit_content
        watched = [self._videos[row] for row, _ in viewer.history[viewer.session :] if row < len(self._videos)]
        left, page = list(candidates), []
        vectors = content[[candidate.video.row for candidate in candidates]]
        alike = dict(zip(map(id, candidates), range(len(candidates)), strict=True))
        while left and len(page) < limit:
            lately = [*watched, *(chosen.video for chosen in page)][-WINDOW:]
            topics, authors = [video.topic for video in lately], [video.author for video in lately]
            on_page = [chosen.video.author for chosen in page]
            best, best_score = None, float("-inf")
            for candidate in left:
                video = candidate.video
                if video.author > 0 and on_page.count(video.author) >= c.author_cap:
                    continue
                score = candidate.explored
                score -= c.topic_weight * (topics.count(video.topic) if video.topic > 0 else 0)
                score -= c.author_weight * (authors.count(video.author) if video.author > 0 else 0)
                score -= c.similarity_weight * candidate.similarity / max(len(page), 1)
                if score > best_score:
                    best, best_score = candidate, score
            if best is None:
                break
            page.append(best)
            left = [candidate for candidate in left if candidate is not best]
            products = (vectors @ vectors[alike[id(best)]]).tolist()
            for candidate, product in zip(candidates, products, strict=True):
                candidate.similarity += product
        return page


def allowed(video: Video, query: Query, viewer: Viewer) -> bool:
    """Every filter."""
    return (
        video.public
        and video.row not in viewer.served
        and video.row not in viewer.seen
        and not (query.own_author and video.author == query.own_author)
        and video.author not in viewer.blocked
        and video.author not in viewer.hidden
    )


def board_rows(board: Board, region: int, quota: int, gone: set[int]) -> list[int]:
    """The top of a board that the viewer has not seen."""
    wider = quota + len(gone)
    everywhere = board.everywhere[: 2 * wider].tolist()
    own = board.by_region[region][: int(wider * LOCAL_SHARE)].tolist() if region in board.by_region else []
    local = set(own)
    rows = (own + [row for row in everywhere[: wider + len(own)] if row not in local])[:wider]
    return [row for row in rows if row not in gone][:quota]
