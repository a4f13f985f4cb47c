"""What every Inboxes, FanoutLedger and ActiveLedger promises."""

import pytest

from core.fanout import ACTIVE, PULL, PUSH, FanoutLedger, Inbox, Inboxes
from tests.contracts.one_loop import OneLoop, Run

LIFE_MS = 60_000


class InboxesContract(OneLoop):
    """Inherit it, give `open_inboxes` and `wait`."""

    async def open_inboxes(self) -> Inboxes:
        """Empty inboxes."""
        raise NotImplementedError

    async def wait(self, ms: int) -> None:
        """Let time pass."""
        raise NotImplementedError

    @pytest.fixture
    def inboxes(self, run: Run) -> Inboxes:
        return run(self.open_inboxes())

    def test_a_push_reaches_the_inboxes_that_exist_and_makes_none(self, run: Run, inboxes: Inboxes) -> None:
        run(self._built(inboxes, "ann", {}))
        run(self._built(inboxes, "bo{}", {"v1": 5}))
        held = run(inboxes.push(["ann", "nobody", "bo{}"], {"v2": 7}, 3))
        assert sorted(held) == ["ann", "bo{}"]
        assert run(inboxes.read("ann", 3, LIFE_MS)) == Inbox(b"note", [("v2", 7)])
        assert run(inboxes.read("bo{}", 3, LIFE_MS)) == Inbox(b"note", [("v2", 7), ("v1", 5)])
        assert run(inboxes.read("nobody", 3, LIFE_MS)) is None

    def test_an_inbox_keeps_the_newest_and_ties_by_id_downwards(self, run: Run, inboxes: Inboxes) -> None:
        run(self._built(inboxes, "ann", {"v5": 5, "v1": 1, "v3": 3}))
        run(inboxes.push(["ann"], {"v2": 2, "w5": 5}, 3))
        assert run(inboxes.read("ann", 3, LIFE_MS)) == Inbox(b"note", [("w5", 5), ("v5", 5), ("v3", 3)])

    def test_an_inbox_stays_bounded_however_much_is_pushed(self, run: Run, inboxes: Inboxes) -> None:
        run(self._built(inboxes, "ann", {}))
        for number in range(40):
            run(inboxes.push(["ann"], {f"v{number}": number}, 3))
        kept = run(inboxes.read("ann", 40, LIFE_MS)).videos
        assert kept[:3] == [("v39", 39), ("v38", 38), ("v37", 37)]
        assert kept == [(f"v{39 - place}", 39 - place) for place in range(len(kept))]
        assert len(kept) < 25

    def test_a_second_push_changes_nothing(self, run: Run, inboxes: Inboxes) -> None:
        run(self._built(inboxes, "ann", {"v1": 1, "v2": 2}))
        for _ in range(2):
            assert run(inboxes.push(["ann"], {"v0": 0, "v3": 3}, 2)) == ["ann"]
            assert run(inboxes.read("ann", 2, LIFE_MS)) == Inbox(b"note", [("v3", 3), ("v2", 2)])

    def test_a_push_of_nothing_says_who_has_an_inbox(self, run: Run, inboxes: Inboxes) -> None:
        run(self._built(inboxes, "ann", {"v1": 1}))
        assert run(inboxes.push(["bo", "ann"], {}, 3)) == ["ann"]

    def test_what_is_pushed_while_it_is_built_is_there_when_it_is_filled(self, run: Run, inboxes: Inboxes) -> None:
        run(inboxes.begin("ann", "t1", LIFE_MS))
        assert run(inboxes.read("ann", 3, LIFE_MS)) is None
        assert run(inboxes.push(["ann"], {"v9": 9}, 3)) == ["ann"]
        run(inboxes.fill("ann", "t1", b"note", {"v1": 1}, 3, LIFE_MS))
        assert run(inboxes.read("ann", 3, LIFE_MS)) == Inbox(b"note", [("v9", 9), ("v1", 1)])

    def test_of_two_who_build_the_later_one_counts(self, run: Run, inboxes: Inboxes) -> None:
        run(self._built(inboxes, "ann", {"v1": 1}))
        run(inboxes.begin("ann", "t1", LIFE_MS))
        run(inboxes.begin("ann", "t2", LIFE_MS))
        run(inboxes.fill("ann", "t1", b"first", {"v1": 1}, 3, LIFE_MS))
        assert run(inboxes.read("ann", 3, LIFE_MS)) is None
        run(inboxes.fill("ann", "t2", b"\0second", {"v2": 2}, 3, LIFE_MS))
        assert run(inboxes.read("ann", 3, LIFE_MS)) == Inbox(b"\0second", [("v2", 2)])

    def test_a_forgotten_inbox_is_gone_and_cannot_be_filled(self, run: Run, inboxes: Inboxes) -> None:
        run(inboxes.begin("ann", "t1", LIFE_MS))
        run(inboxes.delete(["ann", "nobody"]))
        run(inboxes.fill("ann", "t1", b"note", {"v1": 1}, 3, LIFE_MS))
        assert run(inboxes.read("ann", 3, LIFE_MS)) is None
        assert run(inboxes.push(["ann"], {"v1": 1}, 3)) == []

    def test_an_inbox_lives_from_its_last_reading(self, run: Run, inboxes: Inboxes) -> None:
        run(self._built(inboxes, "ann", {"v1": 1}, life_ms=200))
        assert run(inboxes.read("ann", 3, 600)) is not None
        run(self.wait(350))
        assert run(inboxes.push(["ann"], {"v2": 2}, 3)) == ["ann"]
        run(self.wait(400))
        assert run(inboxes.push(["ann"], {"v3": 3}, 3)) == []
        assert run(inboxes.read("ann", 3, LIFE_MS)) is None

    def test_thousands_are_reached_in_one_push(self, run: Run, inboxes: Inboxes) -> None:
        viewers = [f"u{number}" for number in range(1_500)]
        for viewer in viewers[::10]:
            run(inboxes.begin(viewer, "t", LIFE_MS))
        assert sorted(run(inboxes.push(viewers, {"v1": 1}, 3))) == sorted(viewers[::10])

    async def _built(self, inboxes: Inboxes, viewer: str, videos: dict[str, int], life_ms: int = LIFE_MS) -> None:
        await inboxes.begin(viewer, "token", life_ms)
        await inboxes.fill(viewer, "token", b"note", videos, 3, life_ms)


class LedgerContract(OneLoop):
    """Inherit it, give `open_ledger` and `wait`; every epoch has a name of its own."""

    async def open_ledger(self) -> FanoutLedger:
        """An empty ledger."""
        raise NotImplementedError

    async def wait(self, ms: int) -> None:
        """Let time pass."""
        raise NotImplementedError

    @pytest.fixture
    def ledger(self, run: Run) -> FanoutLedger:
        return run(self.open_ledger())

    def test_an_epoch_lasts_while_nothing_is_missed(self, run: Run, ledger: FanoutLedger) -> None:
        assert run(ledger.rules([])).epoch == ""
        epoch = run(ledger.begin(0, 1, 5, 4))
        assert epoch != ""
        assert run(ledger.begin(0, 6, 9, 9)) == epoch
        assert run(ledger.begin(0, 3, 7, 7)) == epoch  # delivered again
        assert run(ledger.begun()) == {0: 9}
        assert run(ledger.rules([])).epoch == epoch
        assert run(ledger.begin(0, 12, 12, 0)) != epoch  # 10 and 11 were begun somewhere and are not known here

    def test_messages_that_do_not_count_are_not_waited_for(self, run: Run, ledger: FanoutLedger) -> None:
        run(ledger.begin(0, 1, 5, 3))
        run(ledger.begin(2, 1, 9, 0))
        run(ledger.begin(0, 6, 8, 0))
        assert run(ledger.begun()) == {0: 3, 2: 0}

    def test_a_tier_rises_at_once_and_never_falls_by_a_video(self, run: Run, ledger: FanoutLedger) -> None:
        assert run(ledger.unpushed("ann", ACTIVE)) == ACTIVE
        assert run(ledger.unpushed("ann", PULL)) == PULL
        assert run(ledger.unpushed("ann", ACTIVE)) == PULL
        assert [tier.tier for tier in run(ledger.rules(["bo", "ann"])).tiers] == [PUSH, PULL]

    def test_a_tier_falls_only_where_nothing_went_unpushed_meanwhile(self, run: Run, ledger: FanoutLedger) -> None:
        run(ledger.unpushed("ann", PULL))
        seen = run(ledger.rules(["ann"])).tiers[0].word
        run(ledger.unpushed("ann", PULL))
        assert run(ledger.lower("ann", seen, PUSH)) is False
        for tier in (ACTIVE, PUSH):
            seen = run(ledger.rules(["ann"])).tiers[0].word
            assert run(ledger.lower("ann", seen, tier)) is True
            assert run(ledger.rules(["ann"])).tiers[0].tier == tier
        assert run(ledger.rules(["ann"])).tiers[0].word == ""

    def test_numbers_are_small_and_for_ever(self, run: Run, ledger) -> None:
        assert run(ledger.numbers(["ann", "bo"], make=False)) == [0, 0]
        assert run(ledger.numbers(["ann", "bo", "ann"], make=True)) == [1, 2, 1]
        assert run(ledger.numbers(["cy", "bo"], make=True)) == [3, 2]
        assert run(ledger.numbers(["cy", "dee", "ann"], make=False)) == [3, 0, 1]

    def test_a_map_holds_in_place_of_the_one_that_was_seen(self, run: Run, ledger) -> None:
        assert run(ledger.point("", "monday")) is True
        assert run(ledger.point("", "tuesday")) is False
        assert run(ledger.rules([])).active == "monday"
        assert run(ledger.point("monday", "")) is True
        assert run(ledger.rules([])).active == ""

    def test_one_of_all_has_the_turn_until_it_is_over(self, run: Run, ledger) -> None:
        assert [run(ledger.turn(150)) for _ in range(2)] == [True, False]
        run(self.wait(200))
        assert run(ledger.turn(150)) is True
