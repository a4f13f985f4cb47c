"""The loop through HTTP: a page is served, what the viewer did is reported, and the next page knows it."""

import pytest

from tests.e2e.tiny import EXPLAIN, FEED, authors_of, ids_of, running, settings_of

VIDEO_FIELDS = {
    "video_id": str, "title": str, "description": str, "category": str, "hashtags": list, "created_at": int,
    "thumbnail_url": str, "duration_sec": float,
}  # fmt: skip
NESTED_FIELDS = {
    "user": {"user_id": str, "username": str, "display_name": str, "avatar_url": str, "verified": bool},
    "urls": {"360p": str, "720p": str, "1080p": str},
    "stats": {"views": int, "likes": int, "comments": int, "shares": int},
    "user_interaction": {"liked": bool, "saved": bool},
    "music": {"music_id": str, "title": str, "artist": str},
}
PAGE_FIELDS = {
    "videos", "next_page", "has_more", "cursor", "slate_id", "all_seen", "preload_next_at", "degraded", "made_up",
}  # fmt: skip
MINUTE_S = 60


def some_pages(app, viewer, count):
    """Every video of the next pages."""
    return [video for _ in range(count) for video in app.page(viewer)["videos"]]


def test_a_page_has_twenty_videos_and_every_field_of_the_specification(app):
    page = app.page("u5")
    assert set(page) == PAGE_FIELDS
    assert (page["next_page"], page["has_more"], page["degraded"]) == (1, True, [])
    assert (page["preload_next_at"], page["all_seen"]) == (15, False)
    assert len(set(ids_of(page))) == 20
    for video in page["videos"]:
        assert set(video) == set(VIDEO_FIELDS) | set(NESTED_FIELDS)
        assert {name: type(video[name]) for name in VIDEO_FIELDS} == VIDEO_FIELDS
        for part, fields in NESTED_FIELDS.items():
            assert {name: type(value) for name, value in video[part].items()} == fields
        assert video["duration_sec"] > 0
        assert video["user_interaction"] == {"liked": False, "saved": False}


def test_a_page_holds_as_many_videos_as_were_asked_for(app):
    for limit in (1, 7, 50):
        assert len(app.page(f"u{limit}", limit=limit)["videos"]) == limit


def test_pages_in_a_row_repeat_nothing_by_cursor_by_number_and_by_just_asking(app):
    page = app.page("u5")
    shown = ids_of(page)
    for _ in range(3):
        page = app.page("u5", cursor=page["cursor"])
        shown += ids_of(page)
    for number in (4, 5, 6):
        page = app.page("u5", page=number)
        shown += ids_of(page)
    for _ in range(3):
        shown += ids_of(app.page("u5"))
    assert len(shown) == len(set(shown)) == 200


def test_a_page_asked_for_twice_is_the_same_page(app):
    first = app.page("u5")
    second = app.page("u5", cursor=first["cursor"])
    for again in (app.page("u5", cursor=first["cursor"]), app.page("u5", page=1)):
        assert (again["slate_id"], ids_of(again)) == (second["slate_id"], ids_of(second))
    assert ids_of(app.page("u5", page=0)) == ids_of(first)


def test_a_page_number_far_ahead_is_the_next_page(app):
    app.page("u5")
    assert app.page("u5", page=9_999)["next_page"] == 2


def test_what_was_seen_never_comes_back_in_new_sessions_after_a_restart_or_as_their_page_0(home):
    settings = settings_of(home)
    seen: set[str] = set()

    def look(app, **query):
        page = app.page("u5", **query)
        assert len(page["videos"]) == 20
        assert not seen & set(ids_of(page))
        app.watched("u5", page)
        seen.update(ids_of(page))
        return page

    with running(settings) as app:
        clock, cursor = app.clock, look(app)["cursor"]
        look(app, cursor=cursor)
        clock.advance(40 * MINUTE_S)
        look(app, page=0)
        look(app)
    with running(settings, clock) as app:
        look(app)
        clock.advance(40 * MINUTE_S)
        look(app, page=0)
        for _ in range(5):
            look(app)
        clock.advance(40 * MINUTE_S)
        assert not seen & set(ids_of(app.page("u5", page=0)))
    assert len(seen) == 11 * 20


def test_an_impression_alone_and_a_watch_alone_each_count_as_seen(app):
    page = app.page("u5")
    first, second = page["videos"][:2]
    app.send("u5", app.event("impression", video_id=first["video_id"], slate_id=page["slate_id"]))
    app.send("u5", app.event("watch", video_id=second["video_id"], play_ms=900, length_ms=1_000))
    app.clock.advance(40 * MINUTE_S)
    later = {video["video_id"] for video in some_pages(app, "u5", 5)}
    assert not {first["video_id"], second["video_id"]} & later
    assert set(ids_of(page)[2:]) & later


def test_events_reported_again_change_nothing(app):
    page = app.page("u5")
    events = app.shown(page)
    app.send("u5", *events)
    views = [v["stats"]["views"] for v in app.page("u6", page=0)["videos"]]
    report = app.post("u5", events).json()
    assert (report["accepted"], report["duplicates"]) == (0, len(events))
    assert [v["stats"]["views"] for v in app.page("u6", page=0)["videos"]] == views


def test_likes_and_saves_show_where_a_video_is_read_again_and_count_at_once(app):
    page = app.page("u5")
    video = page["videos"][3]
    place = {"video_id": video["video_id"], "slate_id": page["slate_id"]}

    def now():
        again = app.page("u5", page=0)["videos"][3]
        return again["user_interaction"], again["stats"]["likes"] - video["stats"]["likes"]

    app.send("u5", app.event("like", **place), app.event("save", **place))
    assert now() == ({"liked": True, "saved": True}, 1)
    app.clock.advance(1)
    app.send("u5", app.event("unlike", **place), app.event("unsave", **place))
    assert now() == ({"liked": False, "saved": False}, 0)


@pytest.mark.parametrize("kind", ["block", "hide_author"])
def test_an_author_who_was_blocked_or_hidden_is_gone_from_the_very_next_page(app, kind):
    page = app.page("u5")
    author = page["videos"][0]["user"]["user_id"]
    app.send("u5", app.event(kind, author_id=author))
    assert author not in authors_of(app.page("u5", page=0))
    assert author not in {video["user"]["user_id"] for video in some_pages(app, "u5", 8)}
    others = app.get(f"{EXPLAIN}/{app.page('u6')['slate_id']}", "u6").json()["dropped"]
    assert not {"blocked_author", "hidden_author"} & {video["stage"] for video in others}, "it is the viewer's own wish"


def test_an_unblocked_author_comes_back(app):
    page = app.page("u5")
    author = page["videos"][0]["user"]["user_id"]
    app.send("u5", app.event("block", author_id=author))
    assert author not in authors_of(app.page("u5", page=0))
    app.clock.advance(1)
    app.send("u5", app.event("unblock", author_id=author))
    assert ids_of(app.page("u5", page=0)) == ids_of(page)


def test_a_viewer_sees_nothing_of_an_author_who_blocked_them(app):
    page = app.page("u5")
    author = page["videos"][0]["user"]["user_id"]
    app.send(author, app.event("block", author_id="u5"))
    assert author not in authors_of(app.page("u5", page=0))
    assert author not in {video["user"]["user_id"] for video in some_pages(app, "u5", 8)}


def test_an_author_is_not_shown_their_own_videos(app):
    author = app.page("u5")["videos"][0]["user"]["user_id"]
    assert author not in {video["user"]["user_id"] for video in some_pages(app, author, 20)}


def test_removed_and_private_videos_are_gone_at_once_and_for_ever(home):
    settings = settings_of(home)
    with running(settings) as app:
        page = app.page("u5")
        removed, hidden, kept = ids_of(page)[:8], ids_of(page)[8:16], ids_of(page)[16:]
        events = [app.event("video_removed", video_id=video) for video in removed]
        events += [app.event("video_updated", video_id=v, visibility="private") for v in hidden[:4]]
        events += [app.event("video_updated", video_id=v, visibility="friends") for v in hidden[4:]]
        app.send("staff", *events, role="operator")
        assert ids_of(app.page("u5", page=0)) == kept
        assert not set(removed + hidden) & set(ids_of(app.page("u6")))
        app.send(
            "staff", *(app.event("video_updated", video_id=v, visibility="public") for v in removed), role="operator"
        )
        clock = app.clock
        clock.advance(40 * MINUTE_S)
    with running(settings, clock) as app:
        later = {video["video_id"] for video in some_pages(app, "u5", 8)}
    assert not set(removed + hidden) & later
    assert set(kept) <= later


def test_a_video_published_a_moment_ago_is_a_candidate_and_can_be_served(app):
    app.page("u5")
    topic = app.page("u5")["videos"][0]["category"]
    fresh = {
        "video_id": "new-1", "author_id": "someone-new", "length_ms": 12_000, "upload_ms": app.clock(), "topic": topic,
        "region": "r0", "language": "l0",
    }  # fmt: skip
    app.send("staff", app.event("video_published", **fresh), role="operator")
    app.clock.advance(16)
    page = app.page("u5")
    why = app.get(f"{EXPLAIN}/{page['slate_id']}", "u5").json()
    dropped = {video["video_id"]: video["stage"] for video in why["dropped"]}
    assert "new-1" in ids_of(page) or dropped["new-1"] in ("pre_rank_keep", "diversity", "exploration")
    everything = [f"v{number}" for number in range(5_000) if app.product.state.table.row(f"v{number}") >= 0]
    watches = [app.event("watch", video_id=video, play_ms=500, length_ms=1_000) for video in everything]
    for start in range(0, len(watches), 1_000):
        app.send("u6", *watches[start : start + 1_000])
    assert ids_of(app.page("u6")) == ["new-1"]


def test_a_request_without_a_page_or_cursor_goes_on_where_the_session_was_after_a_restart(home):
    settings = settings_of(home)
    with running(settings) as app:
        first, clock = app.page("u5"), app.clock
    with running(settings, clock) as app:
        second = app.page("u5")
        assert second["next_page"] == 2
        assert not set(ids_of(first)) & set(ids_of(second))
        assert ids_of(app.page("u5", cursor=first["cursor"])) == ids_of(second)


def test_the_feed_of_one_viewer_says_nothing_about_another(app):
    cursor = app.page("u5")["cursor"]
    answer = app.get(FEED, "u6", cursor=cursor)
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == "cursor_error"
