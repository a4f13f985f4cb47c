"""What every Tables promises."""

import asyncio
from itertools import permutations
from pathlib import Path

import pytest

from core.catalogue import Relations, ViewerRecord
from core.events import AuthorEvent, Block, Follow, HideAuthor, Unblock, Unfollow
from core.ports import Tables
from tests.contracts.events import DAY_MS, records


def _act(kind: type[AuthorEvent], second: int, viewer: str = "ann", author: str = "bo") -> AuthorEvent:
    return kind(
        event_id=f"{kind.__name__}{second}", viewer_id=viewer, author_id=author, time_ms=DAY_MS + 1_000 * second
    )


class TablesContract:
    """Inherit it and give `open_tables`; opening the same folder again is a restart."""

    def open_tables(self, folder: Path) -> Tables:
        """The tables kept in the folder."""
        raise NotImplementedError

    @pytest.fixture
    def tables(self, tmp_path: Path) -> Tables:
        return self.open_tables(tmp_path)

    def test_users_come_in_the_order_asked_for(self, tables: Tables) -> None:
        ann = ViewerRecord(user_id="ann", username="Ann", chosen_topics=("cats", "tea"), made_up=("username",))
        bo = ViewerRecord(user_id="bo", signup_ms=DAY_MS, verified=True)
        asyncio.run(tables.put_users([ann, bo]))
        assert asyncio.run(tables.users(["bo", "nobody", "ann", "bo"])) == [bo, None, ann, bo]

    def test_put_replaces_a_user(self, tables: Tables) -> None:
        asyncio.run(tables.put_users([ViewerRecord(user_id="ann", region="X")]))
        asyncio.run(tables.put_users([ViewerRecord(user_id="ann", region="Y")]))
        assert asyncio.run(tables.users(["ann"])) == [ViewerRecord(user_id="ann", region="Y")]

    def test_all_users_come_by_id(self, tables: Tables) -> None:
        asyncio.run(tables.put_users([ViewerRecord(user_id=name) for name in "cab"]))
        assert [user.user_id for user in asyncio.run(tables.all_users())] == ["a", "b", "c"]

    def test_a_viewer_without_relations_has_empty_ones(self, tables: Tables) -> None:
        assert asyncio.run(tables.relations("nobody")) == Relations()

    def test_follows_hides_and_blocks_are_kept_apart(self, tables: Tables) -> None:
        events = [_act(Follow, 2, author="bo"), _act(Follow, 1, author="cy"), _act(HideAuthor, 3, author="di")]
        asyncio.run(tables.relate(records(*events, _act(Block, 4, author="ed"))))
        assert asyncio.run(tables.relations("ann")) == Relations(follows=("cy", "bo"), blocked=("ed",), hidden=("di",))

    def test_a_block_shows_on_both_sides_until_it_is_taken_back(self, tables: Tables) -> None:
        asyncio.run(tables.relate(records(_act(Block, 1))))
        assert asyncio.run(tables.relations("bo")).blocked_by == ("ann",)
        asyncio.run(tables.relate(records(_act(Unblock, 2), start=2)))
        assert asyncio.run(tables.relations("bo")) == Relations()
        assert asyncio.run(tables.relations("ann")) == Relations()

    def test_the_last_word_counts_in_any_order_of_arrival(self, tmp_path: Path) -> None:
        events = records(_act(Follow, 1), _act(Unfollow, 2), _act(Follow, 3))
        for number, order in enumerate(permutations(events)):
            tables = self.open_tables(tmp_path / str(number))
            for record in order:
                asyncio.run(tables.relate([record, record]))
            assert asyncio.run(tables.relations("ann")).follows == ("bo",)

    def test_everything_is_there_after_a_restart(self, tmp_path: Path) -> None:
        first = self.open_tables(tmp_path)
        asyncio.run(first.put_users([ViewerRecord(user_id="ann")]))
        asyncio.run(first.relate(records(_act(Follow, 1))))
        second = self.open_tables(tmp_path)
        assert asyncio.run(second.users(["ann"])) == [ViewerRecord(user_id="ann")]
        assert asyncio.run(second.relations("ann")).follows == ("bo",)
