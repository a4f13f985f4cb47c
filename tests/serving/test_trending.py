"""GET /api/v1/feed/trending: what is asked of the surface and what a client sees."""

import pytest

from feeds.trending.board import BoardKey

TRENDING = "/api/v1/feed/trending"


def test_anybody_may_ask_and_a_page_has_the_documented_shape(edge):
    answer = edge.client.get(TRENDING)
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "private, no-store"
    page = answer.json()
    assert set(page) == {
        "videos", "next_cursor", "next_page", "has_more", "as_of", "slate_id", "degraded", "made_up",
    }  # fmt: skip
    [video] = page["videos"]
    assert video["trending_score"] == 1_000
    assert set(edge.get("/api/v1/feed/for-you").json()["videos"][0]) == set(video) - {"trending_score"}
    assert (page["next_cursor"], page["next_page"], page["has_more"]) == ("next", 1, True)


def test_the_parameters_and_the_viewer_of_a_token_reach_the_surface(edge):
    edge.client.get(TRENDING)
    edge.get(TRENDING + "?time_range=7d&region=US&category=dance&page=2&limit=50", viewer="bob")
    edge.get(TRENDING + "?mode=literal&cursor=c&limit=1")
    assert edge.trending.asked == [
        ("", BoardKey("spec", "24h"), None, 20, None),
        ("bob", BoardKey("spec", "7d", "US", "dance"), 2, 50, None),
        ("ann", BoardKey("literal", "24h"), None, 1, "c"),
    ]


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ("time_range=1h", "The query parameter 'time_range' should be '24h', '7d' or '30d'."),
        ("time_range=", "The query parameter 'time_range' should be '24h', '7d' or '30d'."),
        ("mode=raw", "The query parameter 'mode' should be 'spec' or 'literal'."),
        ("mode=literal&time_range=7d", "The mode literal has no windows; leave time_range out, or ask for mode=spec."),
        ("page=1&cursor=c", "Give either page or cursor, not both."),
        ("cursor=tampered", "The cursor was changed; start again without it."),
        ("limit=0", "The query parameter 'limit' should be greater than or equal to 1."),
        ("limit=51", "The query parameter 'limit' should be less than or equal to 50."),
        ("page=-1", "The query parameter 'page' should be greater than or equal to 0."),
        ("region=" + "r" * 65, "The query parameter 'region' should have at most 64 characters."),
    ],
)
def test_a_bad_query_is_a_400_with_one_sentence(edge, query, sentence):
    answer = edge.client.get(f"{TRENDING}?{query}")
    assert answer.status_code == 400
    assert answer.json()["error"]["message"] == sentence


def test_a_token_that_is_none_is_a_401_though_nobody_needs_one(edge):
    answer = edge.client.get(TRENDING, headers={"Authorization": "Bearer a.b.c"})
    assert answer.status_code == 401
    assert edge.trending.asked == []


def test_a_page_without_known_blocks_says_when_to_ask_again(edge):
    edge.trending.degraded = ("safety_unknown",)
    assert edge.get(TRENDING).headers["retry-after"] == "1"
    assert b'foryou_degraded_total{part="safety_unknown"} 1.0' in edge.client.get("/metrics").content
