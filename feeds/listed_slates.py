"""Slates of the surfaces that are lists: recorded before the answer, so that what was shown of them can be reported."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from core.clock import Clock
from core.ports import SlateStore
from core.slate import Slate


@dataclass(frozen=True, slots=True)
class ListedSlates:
    """Records the pages of one surface. They belong to no session: For-You's sessions do not know of them."""

    surface: str
    slates: SlateStore
    new_id: Callable[[], str]
    clock: Clock

    async def record(self, viewer_id: str, video_ids: Sequence[str], degraded: Sequence[str]) -> str:
        """The id of the slate, "" where nobody is known or nothing is shown."""
        if not viewer_id or not video_ids:
            return ""
        slate = Slate(
            slate_id=self.new_id(), viewer_id=viewer_id, session_id="", surface=self.surface, time_ms=self.clock(),
            page=0, seed=0, video_ids=tuple(video_ids), sources=(self.surface,) * len(video_ids),
            degraded=tuple(degraded),
        )  # fmt: skip
        await self.slates.append(slate)
        return slate.slate_id
