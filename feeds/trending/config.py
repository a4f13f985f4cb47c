"""The parameters of Trending; docs/trending.md says where they come from."""

from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field

Mode = Literal["spec", "literal"]
TimeRange = Literal["24h", "7d", "30d"]
HOURS: Final[dict[TimeRange, int]] = {"24h": 24, "7d": 7 * 24, "30d": 30 * 24}
LONGEST: Final = max(HOURS.values())


class TrendingConfig(BaseModel):
    """Points are the spec's; a viewer who counts in full weighs `full_units`, any other `light_units`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    view_points: int = Field(1_000, ge=0, description="points of a view")
    like_points: int = Field(500, ge=0, description="points of a like")
    share_points: int = Field(2_000, ge=0, description="points of a share")
    age_points: int = Field(50, ge=0, description="points lost with each whole hour of a video's age")
    decay_points: int = Field(50, ge=0, description="points lost with each period in which nothing counts")
    decay_every_ms: int = Field(300_000, ge=1, le=3_600_000, description="that period, milliseconds")
    least_points: int = Field(100, description="a video with less is on no board")
    keep: int = Field(100, ge=1, description="most videos of a board")
    full_units: int = Field(20, ge=1, description="what a qualified viewer weighs")
    light_units: int = Field(1, ge=0, description="what any other weighs: 1/20 = 0.05 of a qualified one")
    least_age_ms: int = Field(86_400_000, ge=0, description="age of a qualified viewer's account, milliseconds")
    least_impressions: int = Field(20, ge=0, description="impressions of a qualified viewer")
    least_days: int = Field(2, ge=0, le=2, description="on how many days these were, at least")
    board_ms: int = Field(60_000, ge=1, description="life of a board, milliseconds")
    kept_ms: int = Field(300_000, ge=1, description="how long a board is kept for paging, milliseconds")
    counts_s: float = Field(0.2, gt=0, description="how long a request waits for the newest counts, seconds")
