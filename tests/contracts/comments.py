"""What every Comments promises."""

from pathlib import Path
from typing import NamedTuple

import pytest

from core.errors import InputError, NotFound
from core.social import CommentLike, CommentRecord, Comments, Totals, VideoTotals
from tests.contracts.events import DAY_MS
from tests.contracts.one_loop import OneLoop, Run


class Talk(NamedTuple):
    """The stores of one database."""

    comments: Comments
    totals: Totals


def _comment(name: str, second: int = 0, parent: str = "", video: str = "v1", user: str = "ann") -> CommentRecord:
    return CommentRecord(
        comment_id=name, video_id=video, user_id=user, content=f"It's {name}! 🎈", time_ms=DAY_MS + 1_000 * second + 7,
        parent_id=parent,
    )  # fmt: skip


def _like(comment: str, user: str, second: int = 1, stands: bool = True) -> CommentLike:
    return CommentLike(user_id=user, comment_id=comment, time_ms=DAY_MS + 1_000 * second, stands=stands)


def _ids(comments: list[CommentRecord]) -> list[str]:
    return [comment.comment_id for comment in comments]


class CommentsContract(OneLoop):
    """Inherit it and give `open_talk`; opening the same folder again is a restart."""

    async def open_talk(self, folder: Path) -> Talk:
        """The stores kept in the folder."""
        raise NotImplementedError

    @pytest.fixture
    def talk(self, run: Run, tmp_path: Path) -> Talk:
        return run(self.open_talk(tmp_path))

    @pytest.fixture
    def comments(self, talk: Talk) -> Comments:
        return talk.comments

    def test_a_comment_comes_back_as_it_was_written(self, run: Run, comments: Comments) -> None:
        first = _comment("c1")
        run(comments.add(first))
        assert run(comments.get(["nothing", "c1"])) == [None, first]

    def test_adding_twice_changes_nothing(self, run: Run, talk: Talk) -> None:
        for _ in range(2):
            run(talk.comments.add(_comment("c1")))
            run(talk.comments.add(_comment("r1", parent="c1")))
        (found,) = run(talk.comments.get(["c1"]))
        assert found.reply_count == 1
        assert run(talk.totals.videos(["v1"])) == [VideoTotals(comments=2)]

    def test_an_id_belongs_to_one_comment(self, run: Run, comments: Comments) -> None:
        run(comments.add(_comment("c1")))
        with pytest.raises(InputError, match="taken"):
            run(comments.add(_comment("c1", user="bo")))

    def test_a_reply_needs_a_standing_comment_of_the_same_video(self, run: Run, talk: Talk) -> None:
        run(talk.comments.add(_comment("c1")))
        run(talk.comments.add(_comment("c2")))
        run(talk.comments.delete("c2", DAY_MS))
        for reply in (
            _comment("r", parent="nothing"),
            _comment("r", parent="c1", video="v2"),
            _comment("r", parent="c2"),
        ):
            with pytest.raises(NotFound, match="reply"):
                run(talk.comments.add(reply))
        assert run(talk.totals.videos(["v1", "v2"])) == [VideoTotals(comments=1), VideoTotals()]

    def test_a_comment_without_content_is_refused(self, run: Run, comments: Comments) -> None:
        with pytest.raises(InputError, match="content"):
            run(comments.add(CommentRecord(comment_id="c", video_id="v", user_id="u", content="", time_ms=1)))

    def test_pages_go_from_new_to_old_and_leave_replies_and_other_videos_out(
        self, run: Run, comments: Comments
    ) -> None:
        for number in range(5):
            run(comments.add(_comment(f"c{number}", number // 2)))  # two of a moment: the higher id first
        run(comments.add(_comment("other", 9, video="v2")))
        run(comments.add(_comment("r", 9, parent="c1")))
        first = run(comments.page("v1", limit=2))
        second = run(comments.page("v1", after=first[-1], limit=2))
        third = run(comments.page("v1", after=second[-1], limit=2))
        assert [_ids(first), _ids(second), _ids(third)] == [["c4", "c3"], ["c2", "c1"], ["c0"]]
        assert run(comments.page("v1", after=third[-1], limit=2)) == []

    def test_replies_to_a_comment_and_to_a_reply_have_pages_of_their_own(self, run: Run, comments: Comments) -> None:
        run(comments.add(_comment("c1")))
        for number in range(3):
            run(comments.add(_comment(f"r{number}", number, parent="c1")))
        run(comments.add(_comment("deep", parent="r1")))
        first = run(comments.page("v1", "c1", limit=2))
        assert _ids(first) == ["r2", "r1"]
        assert _ids(run(comments.page("v1", "c1", after=first[-1], limit=2))) == ["r0"]
        assert _ids(run(comments.page("v1", "r1", limit=2))) == ["deep"]
        assert [found.reply_count for found in run(comments.get(["c1", "r1", "deep"]))] == [3, 1, 0]

    def test_top_pages_begin_with_the_most_liked(self, run: Run, comments: Comments) -> None:
        for number in range(4):
            run(comments.add(_comment(f"c{number}", number)))
        for comment, user in (("c1", "a"), ("c1", "b"), ("c2", "a"), ("c0", "a")):
            run(comments.like(_like(comment, user)))
        first = run(comments.page("v1", top=True, limit=2))
        assert _ids(first) == ["c1", "c2"]
        assert _ids(run(comments.page("v1", top=True, after=first[-1], limit=9))) == ["c0", "c3"]

    def test_likes_of_a_comment_are_counted_once_and_the_last_word_stands(self, run: Run, comments: Comments) -> None:
        run(comments.add(_comment("c1")))
        for like in (_like("c1", "a", 3), _like("c1", "a", 2, False), _like("c1", "a", 3), _like("c1", "b", 1)):
            run(comments.like(like))
        assert run(comments.get(["c1"]))[0].like_count == 2
        for _ in range(2):
            run(comments.like(_like("c1", "a", 4, False)))
        assert run(comments.get(["c1"]))[0].like_count == 1

    def test_a_deleted_comment_keeps_its_place_only_while_it_has_replies(self, run: Run, talk: Talk) -> None:
        comments = talk.comments
        for comment in (_comment("c1"), _comment("c2", 1), _comment("r1", 2, parent="c1")):
            run(comments.add(comment))
        for name in ("c1", "c2", "c1"):
            run(comments.delete(name, DAY_MS + 9_000))
        (shown,) = run(comments.page("v1", limit=9))
        assert (shown.comment_id, shown.content, shown.deleted_ms, shown.reply_count) == ("c1", "", DAY_MS + 9_000, 1)
        assert run(talk.totals.videos(["v1"])) == [VideoTotals(comments=1)]
        run(comments.delete("r1", DAY_MS + 9_000))
        assert run(comments.page("v1", limit=9)) == []
        assert run(talk.totals.videos(["v1"])) == [VideoTotals()]

    def test_what_is_not_there_cannot_be_deleted_or_liked(self, run: Run, comments: Comments) -> None:
        with pytest.raises(NotFound, match="nothing"):
            run(comments.delete("nothing", DAY_MS))
        with pytest.raises(NotFound, match="nothing"):
            run(comments.like(_like("nothing", "a")))

    def test_everything_is_there_after_a_restart(self, run: Run, tmp_path: Path) -> None:
        run(run(self.open_talk(tmp_path)).comments.add(_comment("c1")))
        assert run(run(self.open_talk(tmp_path)).comments.get(["c1"])) == [_comment("c1")]
