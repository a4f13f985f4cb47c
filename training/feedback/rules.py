"""The rule of each head, written once: how long feedback is waited for, from which events a label comes, and what the
absence of feedback means. docs/log_and_wait.md says why.

Every window is in event time and begins when the video was shown; a report must also arrive before the day is final.
"""

from dataclasses import dataclass
from typing import Final

from pydantic import BaseModel, ConfigDict, Field

from features.layout import DAY_MS, HOUR_MS, SESSION_GAP_MS

NO_LABEL: Final = float("nan")


@dataclass(frozen=True, slots=True)
class HeadRule:
    """One label column.

    `kinds` are the events that it comes from. A video that was watched and has none of a reaction's events has the
    label 0. `left_at_once` is the label of a video that was shown, of which no watch was reported within the watch
    window, and after which the viewer went on to another; where they did not go on, nothing is known (NaN), unless
    the reaction itself was reported, which is always 1.
    """

    head: str
    kinds: tuple[str, ...]
    window_ms: int
    left_at_once: float

    @property
    def of_watch(self) -> bool:
        """Whether the label is measured by the watch report, rather than a reaction that is there or not."""
        return self.kinds == ("watch",)


_WATCH: Final = ("watch",)
_WATCH_WINDOW_MS: Final = 6 * HOUR_MS

RULES: Final = (
    HeadRule("long_view", _WATCH, _WATCH_WINDOW_MS, 0.0),
    HeadRule("click", _WATCH, _WATCH_WINDOW_MS, 0.0),
    HeadRule("skip", _WATCH, _WATCH_WINDOW_MS, 1.0),
    HeadRule("completion", _WATCH, _WATCH_WINDOW_MS, 0.0),
    HeadRule("watch_ratio", _WATCH, _WATCH_WINDOW_MS, NO_LABEL),
    HeadRule("watch_time", _WATCH, _WATCH_WINDOW_MS, NO_LABEL),
    HeadRule("like", ("like",), DAY_MS, 0.0),
    HeadRule("comment", ("comment",), DAY_MS, 0.0),
    HeadRule("share", ("share",), DAY_MS, 0.0),
    HeadRule("save", ("save",), DAY_MS, 0.0),
    HeadRule("follow", ("follow",), DAY_MS, 0.0),
    HeadRule("negative", ("not_interested", "report", "hide_author", "block"), DAY_MS, 0.0),
)
WATCH_RULES: Final = tuple(rule for rule in RULES if rule.of_watch)
REACTION_RULES: Final = tuple(rule for rule in RULES if not rule.of_watch)
LONGEST_WINDOW_MS: Final = max(rule.window_ms for rule in RULES)


class JoinConfig(BaseModel):
    """What the join waits for, and how exploration is weighed."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    shown_window_ms: int = Field(6 * HOUR_MS, ge=1, description="a video counts as shown up to this after its slate")
    early_ms: int = Field(10 * 60_000, ge=0, description="how far a client's clock may be behind ours, milliseconds")
    went_on_ms: int = Field(SESSION_GAP_MS, ge=1, description="the next impression within this means: they went on")
    grace_ms: int = Field(HOUR_MS, ge=0, description="how long after the last window a report may still arrive")
    max_weight: float = Field(10.0, ge=1, description="most weight of a row; 1 / propensity below it")

    def final_at_ms(self, day_end_ms: int) -> int:
        """When the rows of the slates of a day are final: after it no report changes them."""
        return day_end_ms + self.shown_window_ms + LONGEST_WINDOW_MS + self.grace_ms
