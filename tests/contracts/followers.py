"""What every Followers promises."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from core.events import Block, Follow, Unfollow
from core.ports import Tables
from core.social import Followers
from tests.contracts.events import DAY_MS, records
from tests.contracts.one_loop import OneLoop, Run


@dataclass(frozen=True, slots=True)
class Circle:
    """The tables that follows are written to, and who reads them."""

    tables: Tables
    followers: Followers


class FollowersContract(OneLoop):
    """Inherit it and give `open_circle`."""

    async def open_circle(self, folder: Path) -> Circle:
        """Tables without anybody."""
        raise NotImplementedError

    @pytest.fixture
    def circle(self, run: Run, tmp_path: Path) -> Circle:
        return run(self.open_circle(tmp_path))

    def test_the_followers_are_those_whose_follow_stands(self, run: Run, circle: Circle) -> None:
        acts = [(Follow, "bo"), (Follow, "cy"), (Follow, "dee"), (Unfollow, "cy"), (Block, "dee"), (Follow, "bo")]
        events = [
            kind(event_id=f"e{number}", viewer_id=viewer, author_id="ann", time_ms=DAY_MS + number)
            for number, (kind, viewer) in enumerate(acts)
        ]
        run(circle.tables.relate(records(*events)))
        assert sorted(run(circle.followers.followers("ann"))) == ["bo", "dee"]
        assert run(circle.followers.counts(["ann", "bo", "ann"])) == [2, 0, 2]
        assert run(circle.followers.followers("bo")) == []
