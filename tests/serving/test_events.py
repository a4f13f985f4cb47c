"""POST /api/v1/events: bodies good, bad and too large."""

import json

import pytest

from core.errors import StorageFull, Unavailable
from tests.serving.fakes import NOW_MS


def like(event_id, **fields):
    return {"kind": "like", "event_id": event_id, "time_ms": NOW_MS, "video_id": "v1", **fields}


def body(*events):
    return json.dumps({"events": events})


def test_a_batch_is_answered_event_by_event(edge):
    answer = edge.post(body(like("a"), like("a"), like("b", viewer_id="bob"), {"kind": "x"}))
    assert answer.status_code == 200
    report = answer.json()
    assert (report["accepted"], report["duplicates"], report["rejected"]) == (1, 1, 2)
    assert [(r["event_id"], r["status"]) for r in report["results"]] == [
        ("a", "accepted"),
        ("a", "duplicate"),
        ("b", "rejected"),
        ("", "rejected"),
    ]
    assert [r["reason"] == "" for r in report["results"]] == [True, True, False, False]


def test_a_bare_list_is_as_good(edge):
    assert edge.post(json.dumps([like("a")])).json()["accepted"] == 1


def test_an_empty_batch_is_fine(edge):
    assert edge.post("[]").json() == {
        "accepted": 0,
        "duplicates": 0,
        "rejected": 0,
        "results": [],
    }


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"null", b"7", b'"text"', b"{}", b'{"events": 1}', b"[1,]", b"[" * 1_500, b"\xff"],
)
def test_a_body_that_is_no_list_of_events_is_a_400(edge, content):
    answer = edge.post(content)
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == "input_error"


def test_events_that_are_no_objects_are_rejected_one_by_one(edge):
    report = edge.post(b'[1, null, "x", {}, "\xff"]').json()
    assert report["rejected"] == 5


def test_too_many_events_are_a_413(edge):
    answer = edge.post(b"[1,1,1,1,1,1]")
    assert answer.status_code == 413
    assert "5 events" in answer.json()["error"]["message"]


def test_a_body_that_announces_too_much_is_refused_unread(edge):
    def unreadable():
        pytest.fail("the body was read")
        yield b""

    headers = edge.headers() | {"Content-Length": "2001"}
    answer = edge.client.post("/api/v1/events", content=unreadable(), headers=headers)
    assert answer.status_code == 413


def test_a_stream_without_a_length_is_cut_off_at_the_limit(edge):
    answer = edge.post(iter([b" " * 1_500] * 2))
    assert answer.status_code == 413
    assert answer.headers["connection"] == "close"


@pytest.mark.parametrize("length", ["x", "-1", "²"])
def test_a_content_length_that_is_no_number_is_a_400(edge, length):
    headers = edge.headers() | {"Content-Length": length.encode()}
    assert edge.client.post("/api/v1/events", content=b"[]", headers=headers).status_code == 400


@pytest.mark.parametrize(("outage", "status"), [(Unavailable("Down."), 503), (StorageFull("Full."), 507)])
def test_nothing_is_acknowledged_when_the_log_refuses(edge, outage, status):
    edge.log.outage = outage
    answer = edge.post(body(like("a")))
    assert answer.status_code == status
    assert ("retry-after" in answer.headers) == (status == 503)
    assert "results" not in answer.json()


def test_only_an_operator_may_publish_a_video(edge):
    video = {
        "kind": "video_published",
        "event_id": "p",
        "viewer_id": "author",
        "time_ms": NOW_MS,
        "video_id": "v9",
        "author_id": "author",
        "length_ms": 1_000,
        "upload_ms": NOW_MS,
    }
    assert edge.post(body(video)).json()["rejected"] == 1
    assert edge.post(body(video), viewer="root", role="operator").json()["accepted"] == 1
