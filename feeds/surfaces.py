"""The surfaces: read here what happens to a request."""

from core.stages import Source, Surface
from core.video_table import VideoTable
from feeds.config import ForYouConfig
from feeds.filters import (
    BlockedAuthorFilter,
    DuplicateFilter,
    HiddenAuthorFilter,
    OwnFilter,
    RemovedFilter,
    SeenFilter,
    ServedFilter,
)
from feeds.stages import (
    CatalogueHydrator,
    DiversitySelector,
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


def for_you(sources: tuple[Source, ...], table: VideoTable, models: Models, config: ForYouConfig) -> Surface:
    """The personal feed: retrieve, filter, pre-rank, rank, diversify."""
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
            TowerHydrator(models),
            PreRankScorer(),
            PreRankSelector(config),
            FeatureHydrator(models),
            ValueScorer(models),
            ValueRankHydrator(),
            ReactionScorer(models, config),
            ExplorationScorer(models, config),
            DiversitySelector(table, config),
        ),
    )
