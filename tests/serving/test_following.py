"""GET /api/v1/feed/following: what is asked of the surface and what a client sees."""

import pytest

FEED = "/api/v1/feed/following"


def test_a_page_has_the_documented_shape(edge):
    answer = edge.get(FEED)
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "private, no-store"
    body = answer.json()
    assert {name: body[name] for name in ("next_cursor", "has_more")} == {"next_cursor": "next", "has_more": True}
    assert [video["video_id"] for video in body["videos"]] == ["v1"]


def test_the_viewer_of_the_token_and_the_defaults_reach_the_surface(edge):
    edge.get(FEED, viewer="bob")
    edge.get(FEED + "?page_size=50&cursor=c")
    assert edge.following.asked == [("bob", 20, None), ("ann", 50, "c")]


@pytest.mark.parametrize(
    ("query", "word"),
    [("page_size=0", "page_size"), ("page_size=51", "page_size"), ("page_size=x", "page_size"), ("cursor=", "cursor"),
     ("cursor=" + "c" * 2049, "cursor"), ("cursor=tampered", "cursor")],
)  # fmt: skip
def test_a_bad_query_is_a_400_with_one_sentence(edge, query, word):
    answer = edge.get(f"{FEED}?{query}")
    assert answer.status_code == 400
    assert word in answer.json()["error"]["message"]


def test_without_a_token_it_is_a_401(edge):
    assert edge.client.get(FEED).status_code == 401
    assert edge.following.asked == []


def test_unknown_safety_is_an_empty_answer_that_says_when_to_retry(edge):
    edge.following.degraded = ("relations", "safety_unknown")
    answer = edge.get(FEED)
    assert (answer.status_code, answer.headers["retry-after"]) == (200, "1")
    assert b'foryou_degraded_total{part="safety_unknown"} 1.0' in edge.client.get("/metrics").content
