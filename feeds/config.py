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
    pre_rank_keep: int = Field(1_400, ge=1, description="candidates that the pre-ranker keeps")
    author_cap: int = Field(2, ge=1, description="most videos of one author on a page")
    author_weight: float = Field(0.1, ge=0, description="value lost per video of the same author among the last ten")
    similarity_weight: float = Field(0.0, ge=0, description="value lost per unit of mean similarity to the page")
    topic_weight: float = Field(0.3, ge=0, description="value lost per video of the same topic among the last ten")
    dislike_weight: float = Field(0.3, ge=0, description="value lost at similarity 1 to a video marked not interested")
    like_weight: float = Field(0.05, ge=0, description="value gained at similarity 1 to a video liked in this session")
    exploration_weight: float = Field(0.2, ge=0, description="value gained by a video that nobody has watched")
    exploration_watches: float = Field(15.0, gt=0, description="watches that leave that gain divided by root 2")
    new_video_quota: int = Field(40, ge=0, description="rows from the new videos that may be explored")
    new_video_ms: int = Field(7 * 86_400_000, ge=0, description="age up to which a video may be explored, milliseconds")
    exposure_floor: int = Field(20, ge=0, description="impressions up to which every new video may be explored")
    video_budget: int = Field(100, ge=0, description="impressions up to which a new video may be explored")
    creator_budget: int = Field(1_000, ge=0, description="the same for all new videos of a creator together")
    flood_uploads: int = Field(5, ge=1, description="uploads an hour above which a creator has one video's budget")
    reported_limit: float = Field(3.0, gt=0, description="reports, hides and dislikes that end a video's exploration")
    exploration_every: int = Field(20, ge=0, description="every so manieth place of a page is drawn; 0: none")
    exploration_pool: int = Field(100, ge=1, description="most videos that such a place is drawn from")
    exploration_spread: float = Field(0.05, ge=0, description="deviation of a Thompson draw where nobody has watched")
    exploration_temperature: float = Field(0.02, gt=0, description="T of such a place, in units of the value")
    random_share: float = Field(0.02, ge=0, le=1, description="share of pages that are drawn as a whole")
    random_pool: int = Field(100, ge=1, description="most videos, best first, that such a page is drawn from")
    random_temperature: float = Field(0.1, gt=0, description="T of such a page, in units of the value")
    freshness_weight: float = Field(0.0, ge=0, description="value gained by a video that was put up just now")
    freshness_half_life_ms: int = Field(86_400_000, ge=1, description="age that halves that gain, milliseconds")
    fatigue_weight: float = Field(0.0, ge=0, description="value lost per recent impression of the author beyond those")
    fatigue_free: float = Field(3.0, ge=0, description="recent impressions of an author that cost nothing")
    fatigue_half_life_ms: int = Field(86_400_000, ge=1, description="age at which an impression counts half")
    dpp_weight: float = Field(0.0, ge=0, description="value per unit of the page's log-determinant; above 0: a DPP")
    dpp_window: int = Field(10, ge=1, description="places before a video that the log-determinant looks at")
    network_min_share: float = Field(0.0, ge=0, le=1, description="least share of followed authors on a page")
    network_max_share: float = Field(1.0, ge=0, le=1, description="most share of followed authors on a page")
    session_pages: int = Field(200, ge=1, description="slates of a viewer that are read back for the session")
    never_again_ms: int = Field(1_800_000, ge=0, description="how long a served video stays away, milliseconds")

    @property
    def parameter_hash(self) -> str:
        """Changes with any parameter; stands in every slate. 12 hex digits"""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()[:12]
