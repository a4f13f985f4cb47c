"""The parameters of the For-You surface; each is one number that an experiment may change."""

import hashlib

from pydantic import BaseModel, ConfigDict, Field


class ForYouConfig(BaseModel):
    """Quotas are rows, weights are in units of the value unless the field says otherwise."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    two_tower_quota: int = Field(600, ge=0, description="rows from the two-tower index")
    item_to_item_quota: int = Field(250, ge=0, description="rows from the neighbours of liked videos")
    als_quota: int = Field(250, ge=0, description="rows from the ALS factors")
    ease_quota: int = Field(150, ge=0, description="rows from EASE")
    blend_quota: int = Field(500, ge=0, description="rows from the learned blend of the sources")
    fresh_quota: int = Field(100, ge=0, description="rows from the newest uploads")
    popular_quota: int = Field(150, ge=0, description="rows from the popular board")
    promising_quota: int = Field(300, ge=0, description="rows from the board of what may be the best")
    promising_hope: float = Field(0.1, ge=0, description="watch ratio that such a board hopes of an unwatched video")
    pre_rank_keep: int = Field(1_100, ge=1, description="candidates that the pre-ranker keeps")
    author_cap: int = Field(2, ge=1, description="most videos of one author on a page")
    author_weight: float = Field(0.1, ge=0, description="value lost per video of the same author among the last ten")
    similarity_weight: float = Field(0.0, ge=0, description="value lost per unit of mean similarity to the page")
    topic_weight: float = Field(0.4, ge=0, description="value lost per video of the same topic among the last ten")
    dislike_weight: float = Field(0.3, ge=0, description="value lost at similarity 1 to a video marked not interested")
    like_weight: float = Field(0.05, ge=0, description="value gained at similarity 1 to a video liked in this session")
    exploration_weight: float = Field(0.35, ge=0, description="value gained by a video that nobody has watched")
    exploration_watches: float = Field(15.0, gt=0, description="watches that leave that gain divided by root 2")
    session_pages: int = Field(200, ge=1, description="slates of a viewer that are read back for the session")
    never_again_ms: int = Field(1_800_000, ge=0, description="how long a served video stays away, milliseconds")

    @property
    def parameter_hash(self) -> str:
        """Changes with any parameter; stands in every slate. 12 hex digits"""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()[:12]
