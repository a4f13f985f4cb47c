"""What trends, through HTTP: two processes of a home, a minute later, and never what may not be seen."""

from tests.e2e.test_two_products import pair
from tests.e2e.tiny import ids_of

TRENDING = "/api/v1/feed/trending"


def board(app, **query):
    answer = app.client.get(TRENDING, params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_what_is_told_to_one_trends_at_the_other_a_minute_later_and_a_removal_at_once(home):
    """40 viewers who are new count 40 x 0.05 x 1,000 = 2,000 points for a video of this minute; more than any has."""
    with pair(home) as (one, other):
        page = board(one)
        assert page == board(other) and page["degraded"] == []
        fresh = {"video_id": "hit", "author_id": "c1", "length_ms": 9_000, "upload_ms": one.clock(), "topic": "t1"}
        one.send("staff", one.event("video_published", **fresh), role="operator")
        for number in range(40):
            one.send(f"new{number}", one.event("watch", video_id="hit", play_ms=9_000, length_ms=9_000))
        assert "hit" not in ids_of(board(one))
        one.clock.advance(60)
        for app in (other, one):
            [hit] = [video for video in board(app, limit=50)["videos"] if video["video_id"] == "hit"]
            assert (hit["trending_score"], hit["stats"]["views"]) == (2_000, 40)
        other.send("staff", other.event("video_removed", video_id="hit"), role="operator")
        assert "hit" not in ids_of(board(one, limit=50)) + ids_of(board(other, limit=50))


def test_the_board_of_a_week_has_what_was_imported_and_goes_on_by_its_cursor(app):
    whole = ids_of(board(app, time_range="7d", limit=50))
    first = board(app, time_range="7d", limit=5)
    assert len(whole) > 5 and first["has_more"]
    rest = board(app, time_range="7d", limit=50, cursor=first["next_cursor"])
    assert ids_of(first) + ids_of(rest)[: len(whole) - 5] == whole
    assert app.client.get(TRENDING, params={"cursor": first["next_cursor"]}).status_code == 400


def test_what_was_shown_of_the_lists_is_reported_and_does_not_come_in_for_you(app):
    page = app.get(TRENDING, "u1", time_range="7d", limit=5).json()
    author = page["videos"][0]["user"]["user_id"]
    app.send("u1", app.event("follow", author_id=author))
    followed = app.get("/api/v1/feed/following", "u1", page_size=5).json()
    assert len(page["videos"]) == 5 and followed["videos"] and page["slate_id"] != followed["slate_id"]
    before = app.page("u1", limit=5)
    app.send("u1", *(shown(app, listed, video) for listed in (page, followed) for video in ids_of(listed)))
    told = set(ids_of(page)) | set(ids_of(followed))
    again = [app.page("u1", limit=20) for _ in range(3)]
    assert again[0]["slate_id"] != before["slate_id"]  # the session goes on: the lists are not pages of it
    assert not told & {video for one in again for video in ids_of(one)}


def shown(app, page, video):
    """That a video of a page came into view."""
    return app.event("impression", video_id=video, slate_id=page["slate_id"])
