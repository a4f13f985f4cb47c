"""GET /api/v1/feed: what is asked of the engine and what a client sees."""

import pytest

from core.errors import ContractError, Unavailable

FEED = "/api/v1/feed/for-you"


def test_a_page_has_the_documented_shape(edge):
    answer = edge.get(FEED)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "private, no-store"
    assert answer.json() == {
        "videos": [
            {
                "video_id": "v1",
                "user": {
                    "user_id": "u1",
                    "username": "bob",
                    "display_name": "Bob",
                    "avatar_url": "a",
                    "verified": True,
                },
                "title": "Title",
                "description": "Text",
                "category": "dance",
                "hashtags": ["dance"],
                "created_at": 1_700_000_000_000,
                "urls": {"360p": "360", "720p": "720", "1080p": "1080"},
                "thumbnail_url": "thumb",
                "duration_sec": 45,
                "stats": {"views": 4, "likes": 3, "comments": 2, "shares": 1},
                "user_interaction": {"liked": True, "saved": False},
                "music": {"music_id": "m1", "title": "Song", "artist": "Artist"},
            }
        ],
        "next_page": 1,
        "has_more": True,
        "cursor": "next",
        "slate_id": "s1",
        "all_seen": False,
        "preload_next_at": None,
        "degraded": [],
        "made_up": ["user.username"],
    }


def test_the_viewer_of_the_token_and_the_defaults_reach_the_engine(edge):
    edge.get(FEED, viewer="bob")
    edge.get(FEED + "?page=2&limit=50")
    edge.client.get(FEED + "?cursor=c&limit=1", headers=edge.headers() | {"X-Device": "ios"})
    assert edge.feed.asked == [
        ("bob", None, 20, None, ""),
        ("ann", 2, 50, None, ""),
        ("ann", None, 1, "c", "ios"),
    ]


@pytest.mark.parametrize(
    ("query", "word"),
    [
        ("limit=0", "limit"),
        ("limit=51", "limit"),
        ("limit=-1", "limit"),
        ("limit=abc", "limit"),
        ("limit=", "limit"),
        ("limit=1e1", "limit"),
        ("page=-1", "page"),
        ("page=abc", "page"),
        ("page=10001", "page"),
        ("page=" + "9" * 5000, "page"),
        ("page=0&cursor=c", "both"),
        ("cursor=", "cursor"),
        ("cursor=" + "c" * 2049, "cursor"),
        ("cursor=tampered", "cursor"),
    ],
)
def test_a_bad_query_is_a_400_with_one_sentence(edge, query, word):
    answer = edge.get(f"{FEED}?{query}")
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert set(error) == {"code", "message"}
    assert error["code"] in ("input_error", "cursor_error")
    assert word in error["message"]
    assert error["message"].endswith(".")
    assert len(error["message"]) < 200


def test_without_a_valid_token_everything_personal_is_a_401(edge):
    forged = {"Authorization": "Bearer a.b.c"}
    for headers in ({}, forged):
        for path in (FEED, FEED + "?limit=0", "/api/v1/feed/explain/s1"):
            answer = edge.client.get(path, headers=headers)
            assert answer.status_code == 401
            assert answer.headers["www-authenticate"].startswith("Bearer")
            assert answer.json()["error"]["code"] == "auth_error"
        assert edge.client.post("/api/v1/events", json=[], headers=headers).status_code == 401
    assert edge.feed.asked == []


def test_an_expired_token_is_a_401(edge):
    headers = edge.headers()
    edge.clock.now_ms += 900_000
    assert edge.client.get(FEED, headers=headers).status_code == 401


def test_an_outage_is_a_503_that_says_when_to_retry(edge):
    edge.feed.failure = Unavailable("The history does not answer.")
    answer = edge.get(FEED)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert answer.json() == {"error": {"code": "unavailable", "message": "The history does not answer."}}


@pytest.mark.parametrize("bug", [KeyError("secret"), ContractError("Scorer secret gave NaN.")])
def test_a_bug_is_a_500_with_an_id_that_the_log_has_too(edge, caplog, bug):
    edge.feed.failure = bug
    answer = edge.get(FEED)
    assert answer.status_code == 500
    error = answer.json()["error"]
    assert error["code"] == "internal_error"
    assert "secret" not in error["message"]
    error_id = error["message"].rstrip(".").rsplit(" ", 1)[-1]
    (line,) = [record for record in caplog.records if error_id in record.getMessage()]
    assert line.exc_info[1] is bug


def test_a_slate_is_explained_to_its_viewer_and_to_an_operator(edge):
    for caller in ({"viewer": "ann"}, {"viewer": "root", "role": "operator"}):
        answer = edge.get("/api/v1/feed/explain/s1", **caller)
        assert answer.status_code == 200
        assert answer.json()["viewer_id"] == "ann"


def test_a_foreign_slate_looks_exactly_like_an_unknown_one(edge):
    foreign = edge.get("/api/v1/feed/explain/s1", viewer="bob")
    unknown = edge.get("/api/v1/feed/explain/s2", viewer="bob")
    assert foreign.status_code == unknown.status_code == 404
    assert foreign.content == unknown.content


def test_an_overlong_slate_id_is_a_400(edge):
    assert edge.get("/api/v1/feed/explain/" + "x" * 129).status_code == 400
