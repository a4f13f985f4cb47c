"""What ranked behind a page, kept for half an hour: the next pages of the session are cut from it.

A remainder stands for the signals under which it was ranked. Whoever reads it compares them with what is known of the
viewer now, so a like, a skip or a block drops it wherever it was told, and no message has to arrive for that. Filters
run again on what it holds, against the catalogue and the viewer as they are.
"""

import asyncio
import io
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any, Final

import msgspec
import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from core.arrays import Array, Int32
from core.batch import CandidateBatch
from core.cache_keys import cache_key
from core.catalogue import Reactions, Relations
from core.engine import Engine, Ranked
from core.errors import Unavailable
from core.ports import Bytes
from core.query import Query
from core.stages import Selection, Selector, Surface, kind_of
from features.layout import LIKE_BIT, NEGATIVE_BIT, SKIP_BIT, STRONG_BIT
from features.logged import viewer_read
from features.state import state_of
from feeds.exploration.thompson import NewVideoHydrator, ThompsonScorer
from feeds.given import filters_and
from feeds.hydrate import Patience
from feeds.reranking import BoostScorer, RulesHydrator
from feeds.stages import CatalogueHydrator

_STRONG: Final = LIKE_BIT | STRONG_BIT | SKIP_BIT | NEGATIVE_BIT
_WHO: Final = "viewer_read"
_SCORE: Final = f"column/{BoostScorer.name}"
_MOST_DROPPED: Final = 2_000  # some kilobytes each


class RemainderConfig(BaseModel):
    """How much is kept and for how long."""

    model_config = ConfigDict(frozen=True)

    kept_ms: int = Field(1_800_000, ge=1, description="life of a remainder, milliseconds")
    videos: int = Field(200, ge=0, description="videos kept, best first; 0 keeps none and ranks every page")
    explorable: int = Field(40, ge=0, description="further videos kept that may be explored")
    least_pages: int = Field(2, ge=1, description="pages that must be left for a page to be cut")


class Signals(msgspec.Struct, frozen=True, array_like=True):
    """What a ranking heeds at once: relations, likes and saves as a hash, and the strong marks on the last watches."""

    standing: bytes
    marks: frozenset[tuple[int, int]]

    def hold(self, now: "Signals") -> bool:
        """Whether nothing has been added to them, or taken back; marks that only grew old do not count."""
        return self.standing == now.standing and now.marks <= self.marks


def signals_of(query: Query, relations: Relations, reactions: Reactions) -> Signals:
    """Those of a viewer now."""
    groups = [sorted(group) for group in (relations.follows, relations.blocked, relations.blocked_by, relations.hidden)]
    groups += [sorted(group) for group in (reactions.liked, reactions.saved, reactions.disliked)]
    groups += [[query.region, query.language]]
    state = state_of(query)[0]
    length = int(state["history_len"])
    bits = state["history_signal"][:length] & _STRONG
    marked = np.flatnonzero(bits)
    marks = zip(state["history_video"][:length][marked].tolist(), bits[marked].tolist(), strict=True)
    return Signals(blake2b(msgspec.msgpack.encode(groups), digest_size=16).digest(), frozenset(marks))


class _Kept(msgspec.Struct, frozen=True, array_like=True):
    """A remainder in the cache; `arrays` as .npy files."""

    versions: tuple[str, str]
    signals: Signals
    arrays: dict[str, bytes]


class _Tap:
    """A selector that also tells what it was given."""

    def __init__(self, selector: Selector) -> None:
        self.name, self._selector, self.given = selector.name, selector, list[CandidateBatch]()

    def select(self, query: Query, batch: CandidateBatch) -> Selection:
        """As the selector."""
        self.given.append(batch)
        return self._selector.select(query, batch)


@dataclass(frozen=True, slots=True)
class Tapped:
    """A surface that does what another does, and what reached its selectors of the page."""

    surface: Surface
    tap: _Tap

    @classmethod
    def of(cls, surface: Surface) -> "Tapped":
        """The page's selectors are those that nothing but selectors follows."""
        at = _first_selector(surface)
        tap = _Tap(surface.steps[at])  # type: ignore[arg-type]
        steps = (*surface.steps[:at], tap, *surface.steps[at + 1 :])
        return cls(Surface(surface.name, surface.sources, steps, surface.side_effects), tap)


def _first_selector(surface: Surface) -> int:
    kinds = [kind_of(step) for step in surface.steps]
    return max((at for at, kind in enumerate(kinds) if kind != "selector"), default=-1) + 1


def _cut(surface: Surface) -> Surface:
    """What runs on a remainder: the columns that change by themselves, the filters, and the selectors of the page."""
    at = _first_selector(surface)
    again = filters_and(surface, CatalogueHydrator, RulesHydrator, NewVideoHydrator)
    return Surface(surface.name, surface.sources, (*again, *surface.steps[at:]))


@dataclass(frozen=True, slots=True)
class Remainders:
    """The remainders of sessions; `versions` gives bundle and parameters, `looked_up` hears whether a page was cut. The
    cache is waited for `deadline_ms`, and hardly at all while it is late again and again.

    The key is `{viewer}:foryou:session`, so that it lies beside all that is the viewer's.
    """

    cache: Bytes
    engine: Engine
    versions: Callable[[], tuple[str, str]]
    config: RemainderConfig
    looked_up: Callable[[bool], None] = lambda found: None
    deadline_ms: int = 100
    patience: Patience = field(default_factory=Patience)
    _dropped: OrderedDict[str, "_Kept"] = field(default_factory=OrderedDict)

    async def cut(self, query: Query, surface: Surface, signals: Signals) -> tuple[Ranked, Array] | None:
        """A page of the session's remainder with what was read of the viewer when it was ranked; None where it has too
        little left or does not stand any more. A page that is kept in full is ranked, so that it can be run again."""
        if query.keep_full or not self.config.videos:
            return None
        found = await self._standing(query, signals)
        page = self._page(query, surface, found[0]) if found is not None else None
        self.looked_up(page is not None)
        return (page, found[1]) if page is not None and found is not None else None

    async def keep(self, query: Query, ranked: Tapped, page: Int32, signals: Signals) -> None:
        """Keep what ranked behind the rows of a page."""
        if not ranked.tap.given or not self.config.videos or BoostScorer.name not in ranked.tap.given[-1].columns:
            return
        batch = _best(ranked.tap.given[-1], page, self.config)
        arrays = {f"column/{name}": column for name, column in batch.columns.items()}
        arrays |= {"rows": batch.rows, "source": batch.source, "source_mask": batch.source_mask}
        arrays[_WHO] = viewer_read(state_of(query), query.now_ms)
        kept = _Kept(self.versions(), signals, {name: _npy(array) for name, array in arrays.items()})
        await self.cache.set({_key(query): msgspec.msgpack.encode(kept)}, self.config.kept_ms)

    async def stands(self, query: Query, signals: Signals) -> bool:
        """Whether the session has a remainder that could be cut."""
        found = await self._standing(query, signals)
        return found is not None and self._enough(query, found[0])

    async def rows(self, query: Query) -> Int32:
        """What the session's remainder holds, best first, whatever the viewer has said since; also one that this
        process has dropped for that. Unavailable."""
        kept = _kept_in((await self.cache.get([_key(query)]))[0]) or self._dropped.get(_key(query))
        if kept is None or kept.versions != self.versions():
            return np.zeros(0, np.int32)
        order = np.argsort(-_array(kept.arrays[_SCORE]), kind="stable")
        return np.asarray(_array(kept.arrays["rows"])[order], np.int32)

    async def _drop(self, query: Query, kept: _Kept) -> None:
        """No page is cut from it any more; its order is still of use where a ranking fails."""
        order = {name: kept.arrays[name] for name in ("rows", _SCORE)}
        self._dropped[_key(query)] = _Kept(kept.versions, kept.signals, order)
        if len(self._dropped) > _MOST_DROPPED:
            self._dropped.popitem(last=False)
        await self.cache.delete([_key(query)])

    async def _standing(self, query: Query, signals: Signals) -> tuple[CandidateBatch, Array] | None:
        try:
            async with asyncio.timeout(self.patience.limit_s("foryou", self.deadline_ms / 1000)):
                kept = _kept_in((await self.cache.get([_key(query)]))[0])
                stands = kept is None or (kept.versions == self.versions() and kept.signals.hold(signals))
                if kept is not None and not stands:
                    await self._drop(query, kept)
        except (Unavailable, TimeoutError):
            self.patience.late("foryou")
            return None
        self.patience.in_time("foryou")
        return (_batch_in(kept), _array(kept.arrays[_WHO])) if kept is not None and stands else None

    def _page(self, query: Query, surface: Surface, batch: CandidateBatch) -> Ranked | None:
        if not self._enough(query, batch):
            return None
        ranked = self.engine.resume(_cut(surface), query, batch)
        return ranked if len(ranked.batch) == query.limit else None

    def _enough(self, query: Query, batch: CandidateBatch) -> bool:
        left = ~np.isin(batch.rows, np.concatenate([query.served, query.seen]))
        return int(left.sum()) >= self.config.least_pages * query.limit


def _best(batch: CandidateBatch, page: Int32, config: RemainderConfig) -> CandidateBatch:
    """The best behind the page, and of the others those that may be explored; in their order, by which ties go."""
    behind = np.flatnonzero(~np.isin(batch.rows, page))
    order = behind[np.argsort(-batch[BoostScorer.name][behind], kind="stable")]
    chosen, rest = order[: config.videos], order[config.videos :]
    new = rest[batch["may_explore"][rest]] if "may_explore" in batch.columns else rest[:0]
    if len(new):
        new = new[np.argsort(-batch[ThompsonScorer.name][new], kind="stable")][: config.explorable]
    return batch.take(np.sort(np.concatenate([chosen, new])))


def _key(query: Query) -> str:
    return cache_key(query.viewer_id, f"foryou:{query.session_id}")


def _npy(array: Array) -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, np.ascontiguousarray(array), allow_pickle=False)
    return buffer.getvalue()


def _array(raw: bytes) -> Any:
    return np.lib.format.read_array(io.BytesIO(raw), allow_pickle=False)


def _kept_in(raw: bytes | None) -> _Kept | None:
    """None where there is none, or nothing that we wrote."""
    try:
        return msgspec.msgpack.decode(raw, type=_Kept) if raw is not None else None
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def _batch_in(kept: _Kept) -> CandidateBatch:
    arrays: Mapping[str, Array] = {name: _array(raw) for name, raw in kept.arrays.items()}
    columns = {name[7:]: column for name, column in arrays.items() if name.startswith("column/")}
    return CandidateBatch(arrays["rows"], arrays["source"], arrays["source_mask"], columns)
