"""The surfaces: read here what happens to a request."""

from core.stages import Source, Surface
from core.video_table import VideoTable
from feeds.config import ForYouConfig
from feeds.exploration.new_videos import NewVideos
from feeds.exploration.stage import ExplorationSelector
from feeds.exploration.thompson import NewVideoHydrator, ThompsonScorer
from feeds.filters import (
    BlockedAuthorFilter,
    DuplicateFilter,
    HiddenAuthorFilter,
    OwnFilter,
    RemovedFilter,
    SeenFilter,
    ServedFilter,
)
from feeds.page_selector import DiversitySelector
from feeds.reranking import ActiveRules, BoostScorer, FatigueScorer, FreshnessScorer, RulesHydrator
from feeds.stages import (
    CatalogueHydrator,
    ExplorationScorer,
    FeatureHydrator,
    Models,
    PreRankScorer,
    PreRankSelector,
    ReactionScorer,
    TowerHydrator,
    ValueRankHydrator,
    ValueScorer,
)


def for_you(
    sources: tuple[Source, ...],
    table: VideoTable,
    models: Models,
    config: ForYouConfig,
    new: NewVideos | None = None,
    rules: ActiveRules | None = None,
) -> Surface:
    """The personal feed: retrieve, filter, pre-rank, rank, re-rank, diversify, and last of all explore."""
    return Surface(
        name="for_you",
        sources=sources,
        steps=(
            CatalogueHydrator(table),
            DuplicateFilter(),
            RemovedFilter(),
            ServedFilter(),
            SeenFilter(),
            OwnFilter(),
            BlockedAuthorFilter(),
            HiddenAuthorFilter(),
            RulesHydrator(rules or ActiveRules((), table)),
            TowerHydrator(models),
            PreRankScorer(),
            PreRankSelector(config),
            FeatureHydrator(models),
            ValueScorer(models),
            ValueRankHydrator(),
            ReactionScorer(models, config),
            ExplorationScorer(models, config),
            FreshnessScorer(config),
            FatigueScorer(table, config),
            BoostScorer(),
            NewVideoHydrator(new or NewVideos.none()),
            ThompsonScorer(table, models, config),
            DiversitySelector(table, config),
            ExplorationSelector(config),
        ),
    )
