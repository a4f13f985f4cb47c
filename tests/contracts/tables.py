"""What every Tables promises."""

from itertools import permutations
from pathlib import Path

import pytest

from core.catalogue import Relations, ViewerRecord
from core.errors import InputError
from core.events import AuthorEvent, Block, Follow, HideAuthor, Unblock, Unfollow
from core.ports import Tables
from tests.contracts.events import DAY_MS, records
from tests.contracts.one_loop import OneLoop, Run


def _act(kind: type[AuthorEvent], second: int, viewer: str = "ann", author: str = "bo") -> AuthorEvent:
    return kind(
        event_id=f"{kind.__name__}{second}", viewer_id=viewer, author_id=author, time_ms=DAY_MS + 1_000 * second
    )


class TablesContract(OneLoop):
    """Inherit it and give `open_tables`; opening the same folder again is a restart."""

    async def open_tables(self, folder: Path) -> Tables:
        """The tables kept in the folder."""
        raise NotImplementedError

    @pytest.fixture
    def tables(self, run: Run, tmp_path: Path) -> Tables:
        return run(self.open_tables(tmp_path))

    def test_users_come_in_the_order_asked_for(self, run: Run, tables: Tables) -> None:
        ann = ViewerRecord(user_id="ann", username="Ann", chosen_topics=("cats", "tea"), made_up=("username",))
        bo = ViewerRecord(user_id="bo", signup_ms=DAY_MS, verified=True)
        run(tables.put_users([ann, bo]))
        assert run(tables.users(["bo", "nobody", "ann", "bo"])) == [bo, None, ann, bo]

    def test_every_field_of_a_user_comes_back(self, run: Run, tables: Tables) -> None:
        user = ViewerRecord(
            user_id="Zoë-🎈", username="zoë", display_name="Zoë 'Z\"", avatar_url="https://a.example/ä", verified=True,
            region="R1", language="de", device="phone", age_band="18-24", signup_ms=DAY_MS + 1, chosen_topics=("cats",),
            traits=("night", "\\"), made_up=("avatar_url",),
        )  # fmt: skip
        run(tables.put_users([user]))
        assert run(tables.users([user.user_id])) == [user]

    def test_put_replaces_a_user(self, run: Run, tables: Tables) -> None:
        run(tables.put_users([ViewerRecord(user_id="ann", region="X", username="Ann", verified=True)]))
        run(tables.put_users([ViewerRecord(user_id="ann", region="Y"), ViewerRecord(user_id="ann", region="Z")]))
        assert run(tables.users(["ann"])) == [ViewerRecord(user_id="ann", region="Z")]

    def test_a_username_belongs_to_one_user(self, run: Run, tables: Tables) -> None:
        run(tables.put_users([ViewerRecord(user_id="ann", username="A"), ViewerRecord(user_id="bo")]))
        with pytest.raises(InputError, match="unique"):
            run(tables.put_users([ViewerRecord(user_id="bo", username="A")]))
        assert run(tables.users(["bo"])) == [ViewerRecord(user_id="bo")]
        run(tables.put_users([ViewerRecord(user_id="ann", username="B")]))
        run(tables.put_users([ViewerRecord(user_id="bo", username="A")]))

    def test_what_does_not_fit_the_tables_is_refused_with_its_reason(self, run: Run, tables: Tables) -> None:
        for user, reason in (
            (ViewerRecord(user_id="ann", username="A" * 51), "51 characters"),
            (ViewerRecord(user_id="u" * 129), "129 characters"),
            (ViewerRecord(user_id=""), "empty"),
            (ViewerRecord(user_id="ann", display_name="a\0b"), "NUL"),
        ):
            with pytest.raises(InputError, match=reason):
                run(tables.put_users([user]))

    def test_all_users_come_by_id_in_the_order_of_their_bytes(self, run: Run, tables: Tables) -> None:
        run(tables.put_users([ViewerRecord(user_id=name) for name in ("ä", "c", "A", "b", "_")]))
        assert [user.user_id for user in run(tables.all_users())] == ["A", "_", "b", "c", "ä"]

    def test_a_user_that_only_events_name_is_unknown(self, run: Run, tables: Tables) -> None:
        run(tables.relate(records(_act(Follow, 1))))
        assert run(tables.users(["ann", "bo"])) == [None, None]
        assert run(tables.all_users()) == []

    def test_nothing_to_do_is_no_error(self, run: Run, tables: Tables) -> None:
        run(tables.put_users([]))
        run(tables.relate([]))
        assert run(tables.users([])) == []

    def test_a_viewer_without_relations_has_empty_ones(self, run: Run, tables: Tables) -> None:
        assert run(tables.relations("nobody")) == Relations()

    def test_follows_hides_and_blocks_are_kept_apart(self, run: Run, tables: Tables) -> None:
        events = [_act(Follow, 2, author="bo"), _act(Follow, 1, author="cy"), _act(HideAuthor, 3, author="di")]
        run(tables.relate(records(*events, _act(Block, 4, author="ed"))))
        assert run(tables.relations("ann")) == Relations(follows=("cy", "bo"), blocked=("ed",), hidden=("di",))

    def test_relations_of_one_moment_come_by_id(self, run: Run, tables: Tables) -> None:
        run(tables.relate(records(*(_act(Follow, 1, author=author) for author in ("bo", "Bo", "ab", "ä")))))
        assert run(tables.relations("ann")).follows == ("Bo", "ab", "bo", "ä")

    def test_a_block_shows_on_both_sides_until_it_is_taken_back(self, run: Run, tables: Tables) -> None:
        run(tables.relate(records(_act(Block, 1))))
        assert run(tables.relations("bo")).blocked_by == ("ann",)
        run(tables.relate(records(_act(Unblock, 2), start=2)))
        assert run(tables.relations("bo")) == Relations()
        assert run(tables.relations("ann")) == Relations()

    def test_the_last_word_counts_in_any_order_of_arrival(self, run: Run, tables: Tables) -> None:
        for number, order in enumerate(permutations(range(3))):
            viewer = f"viewer{number}"
            events = records(*(_act(kind, s, viewer) for s, kind in enumerate((Follow, Unfollow, Follow), 1)))
            for place in order:
                run(tables.relate([events[place], events[place]]))
            assert run(tables.relations(viewer)).follows == ("bo",)

    def test_of_one_moment_the_later_on_the_log_counts(self, run: Run, tables: Tables) -> None:
        first, second = records(_act(Follow, 1), _act(Unfollow, 1))
        for order in ([first, second], [second, first]):
            run(tables.relate(order))
            assert run(tables.relations("ann")).follows == ()

    def test_everything_is_there_after_a_restart(self, run: Run, tmp_path: Path) -> None:
        first = run(self.open_tables(tmp_path))
        run(first.put_users([ViewerRecord(user_id="ann")]))
        run(first.relate(records(_act(Follow, 1))))
        second = run(self.open_tables(tmp_path))
        assert run(second.users(["ann"])) == [ViewerRecord(user_id="ann")]
        assert run(second.relations("ann")).follows == ("bo",)
