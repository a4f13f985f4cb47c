"""Two products on one home, as two serving processes have it: each page knows what the other was told."""

from contextlib import contextmanager

from features.layout import VIEWER_DTYPE
from features.packed import record_of
from tests.e2e.tiny import HandClock, ids_of, running, settings_of


@contextmanager
def pair(home):
    """Both at once, with one clock, and with ids that are the same in every pair: what is drawn goes by them."""
    clock, settings = HandClock(), settings_of(home)
    with running(settings, clock, "one") as one, running(settings, clock, "other") as other:
        yield one, other


def record(app, viewer):
    """The viewer's stored feature record."""
    return record_of(app.call(app.product.stores.features.read, "viewer", [viewer])[0], VIEWER_DTYPE)[0]


def test_each_continues_the_session_of_the_other_and_knows_what_was_seen_there(home):
    seen: list[str] = []
    with pair(home) as (one, other):
        for turn in range(6):
            app, teller = (one, other) if turn % 2 else (other, one)
            page = app.page("u5")
            assert page["next_page"] == turn + 1
            seen += ids_of(page)
            teller.watched("u5", page)
        one.clock.advance(2_400)
        for app in (one, other):
            assert not set(seen) & set(ids_of(app.page("u5")))
    assert len(set(seen)) == 120


def test_a_block_told_to_one_holds_on_the_next_page_of_the_other(home):
    with pair(home) as (one, other):
        page = one.page("u5")
        author = page["videos"][0]["user"]["user_id"]
        one.send("u5", one.event("block", author_id=author))
        again = other.page("u5", page=0)
        assert again["slate_id"] == page["slate_id"]
        assert author not in {video["user"]["user_id"] for video in again["videos"]}


def test_a_removal_and_a_new_video_told_to_one_are_known_to_the_other(home):
    with pair(home) as (one, other):
        gone = ids_of(one.page("u5"))[0]
        fresh = {"video_id": "new-1", "author_id": "c1", "length_ms": 9_000, "upload_ms": one.clock(), "topic": "t1"}
        events = [one.event("video_removed", video_id=gone), one.event("video_published", **fresh)]
        one.send("staff", *events, role="operator")
        assert gone not in ids_of(other.page("u5", page=0))
        other.send("u5", other.event("like", video_id="new-1"))


def test_a_cursor_and_an_explanation_of_one_are_good_at_the_other(home):
    with pair(home) as (one, other):
        page = one.page("u5")
        one.call(one.product.settled)
        assert other.get(f"/api/v1/feed/explain/{page['slate_id']}", "u5").status_code == 200
        assert other.page("u5", cursor=page["cursor"])["next_page"] == 2


def test_public_counts_are_the_same_whoever_was_told(home):
    with pair(home) as (one, other):
        page = one.page("u5")
        one.watched("u5", page)
        other.page("u6")
        counts = [[video["stats"] for video in app.page("u7", page=0)["videos"]] for app in (one, other)]
        assert counts[0] == counts[1]


def test_an_event_told_to_one_is_counted_once_however_many_read_it(new_home):
    def told(home, listeners):
        with pair(home) as (one, other):
            page = one.page("u5")
            one.watched("u5", page)
            for _ in range(listeners):
                other.page("u6")
            return record(one, "u5")

    alone, heard = told(new_home(), 0), told(new_home(), 1)
    for name in VIEWER_DTYPE.names:
        assert alone[name].tobytes() == heard[name].tobytes(), name


def test_a_home_that_lost_its_derived_state_builds_it_again_from_the_log(home):
    with running(settings_of(home)) as app:
        page = app.page("u5")
        app.watched("u5", page)
        seen, views = set(app.call(app.product.stores.history.seen, "u5")), dict(stats_of(app, ids_of(page)))
        watched = record(app, "u5")["history_video"].tolist()
    for part in home.glob("state.db*"):
        part.unlink()
    with running(settings_of(home)) as app:
        assert set(app.call(app.product.stores.history.seen, "u5")) == seen
        assert dict(stats_of(app, ids_of(page))) == views
        assert record(app, "u5")["history_video"].tolist()[-20:] == watched[-20:]
        assert not seen & set(ids_of(app.page("u5")))


def stats_of(app, video_ids):
    """(video id, lifetime views) of each video."""
    state = app.product.state
    return [(name, int(state.videos.counts.totals[state.table.row(name), 0])) for name in video_ids]
