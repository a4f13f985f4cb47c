"""What a check for skew found: every difference by feature, and how stale the state was that serving read."""

import msgspec


class Example(msgspec.Struct, frozen=True, kw_only=True):
    """One logged value that came out otherwise, and the versions behind it."""

    slate_id: str
    video_id: str
    logged: float
    recomputed: float
    viewer_version: int
    video_version: int
    author_version: int
    trend_version: int


class FeatureDifference(msgspec.Struct, frozen=True, kw_only=True):
    """A feature whose value differs in `rows` rows, by `max_absolute` at most."""

    feature: str
    rows: int
    max_absolute: float
    example: Example


class MissingState(msgspec.Struct, frozen=True, kw_only=True):
    """A row of state as of a version that the log does not lead to."""

    entity: str
    id: str
    version: int


class Staleness(msgspec.Struct, frozen=True, kw_only=True):
    """Applied less event time of the last event in the rows of state that were read, milliseconds."""

    entity: str
    states: int
    p50_ms: float
    p90_ms: float
    p99_ms: float
    max_ms: float


class JoinReport(msgspec.Struct, frozen=True, kw_only=True):
    """The same rows by Feast's point-in-time join: largest distance in float32 ulp, and features beyond one."""

    rows: int
    states: int
    max_ulp: int
    beyond_one_ulp: tuple[FeatureDifference, ...]
    wrong_states: int
    ambiguous_states: int
    seconds: float


class SkewReport(msgspec.Struct, frozen=True, kw_only=True):
    """`rows` were computed again, `features` values each; `missing` names states without which some could not be."""

    slates: int
    rows: int
    features: int
    states: int
    differences: tuple[FeatureDifference, ...]
    missing_states: int
    missing_rows: int
    missing: tuple[MissingState, ...]
    staleness: tuple[Staleness, ...]
    seconds: float
    join: JoinReport | None = None

    @property
    def clean(self) -> bool:
        """Whether every logged row came out the same."""
        join = self.join
        joined = join is None or not (join.beyond_one_ulp or join.wrong_states)
        return not self.differences and not self.missing_states and joined
