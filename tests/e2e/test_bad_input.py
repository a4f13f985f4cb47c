"""What a client, a disk or a crowd may do to a running product, over HTTP."""

import json
import time
from contextlib import contextmanager
from dataclasses import replace

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from core.errors import CorruptData, SchemaMismatch, StorageFull
from core.events import Impression
from core.ports import Record
from features.layout import DAY_MS
from foryou.stores import open_stores
from tests.e2e.tiny import EVENTS, FEED, NOW_MS, ids_of, running, settings_of

YEAR_3000_MS = 32_503_680_000_000


def refused(answer, status, *words):
    """One sentence under this status, with these words."""
    assert answer.status_code == status, answer.text
    error = answer.json()["error"]
    assert set(error) == {"code", "message"}
    for word in words:
        assert word in error["message"]
    return error


def rejection(app, viewer, event):
    """Why the one event was rejected; nothing of it reached the log."""
    end = app.call(app.product.stores.log.end)
    answer = app.post(viewer, [event])
    assert answer.status_code == 200, answer.text
    (verdict,) = answer.json()["results"]
    assert verdict["status"] == "rejected"
    assert app.call(app.product.stores.log.end) == end
    return verdict["reason"]


@contextmanager
def full_disk(store):
    """No page may be added to the store's file."""
    database = store._database
    pages = database.row("PRAGMA page_count")[0]
    database.rows(f"PRAGMA max_page_count = {pages}")
    try:
        yield
    finally:
        database.rows("PRAGMA max_page_count = 1000000")


# ------------------------------------------------------------------------------------------ queries


@pytest.mark.parametrize("limit", ["0", "51", "-1", "abc"])
def test_a_limit_that_is_none_is_a_400(app, limit):
    refused(app.get(FEED, "u5", limit=limit), 400, "limit")


def test_a_tampered_cursor_is_a_400_and_the_session_goes_on(app):
    cursor = app.page("u5")["cursor"]
    for place in (0, 10, 30, len(cursor) - 2):
        letter = "A" if cursor[place] != "A" else "B"
        error = refused(app.get(FEED, "u5", cursor=cursor[:place] + letter + cursor[place + 1 :]), 400)
        assert error["code"] == "cursor_error"
    for nonsense in ("x", "é", "=" * 9, cursor[:20], cursor + cursor):
        assert refused(app.get(FEED, "u5", cursor=nonsense), 400)["code"] == "cursor_error"
    assert app.page("u5", cursor=cursor)["next_page"] == 2


def test_an_expired_cursor_is_a_400_that_says_what_to_do(app):
    cursor = app.page("u5")["cursor"]
    app.clock.advance(app.product.settings.cursor_ttl_s + 1)
    error = refused(app.get(FEED, "u5", cursor=cursor), 400, "expired", "without it")
    assert error["code"] == "cursor_error"
    assert app.page("u5")["next_page"] == 1


# ------------------------------------------------------------------------------------------ viewers


def test_a_viewer_without_a_history_gets_a_page(app):
    page = app.page("nobody-has-heard-of-me")
    assert (len(page["videos"]), page["degraded"]) == (20, [])
    assert not set(ids_of(page)) & set(ids_of(app.page("nobody-has-heard-of-me")))


def test_a_viewer_who_has_seen_everything_is_told_so(app):
    videos = list(app.product.state.table.video_ids)
    for start in range(0, len(videos), 1_000):
        part = videos[start : start + 1_000]
        app.send("u5", *(app.event("watch", video_id=v, play_ms=500, length_ms=1_000) for v in part))
    pages = [app.page("u5", limit=50) for _ in range(2)]
    for page in pages:  # what was seen longest ago, and never one of this session
        assert page["all_seen"] and page["degraded"] == [] and len(page["videos"]) == 50
    assert not set(ids_of(pages[0])) & set(ids_of(pages[1]))
    assert not app.page("u6")["all_seen"]
    assert len(app.page("u6")["videos"]) == 20


@pytest.mark.slow
def test_a_viewer_with_a_million_events_gets_a_page(home):
    stores = open_stores(home, durable=False)

    def sights(start):
        return [
            Record(0, Impression(event_id="i", viewer_id="u5", video_id=f"old-{n}", time_ms=NOW_MS - 1_000_000 + n))
            for n in range(start, start + 100_000)
        ]

    with running(settings_of(home), stores=stores) as app:
        assert len(app.page("u6")["videos"]) == 20
        for start in range(0, 1_000_000, 100_000):
            app.call(stores.history.record, sights(start))
        first = app.page("u5")
        began = time.perf_counter()
        second = app.page("u5")
        assert time.perf_counter() - began < 5
        for page in (first, second):
            assert (len(page["videos"]), page["degraded"]) == (20, [])
        app.watched("u5", second)
        assert not set(ids_of(second)) & set(ids_of(app.page("u5")))


# ------------------------------------------------------------------------------------------- events


@pytest.mark.parametrize("time_ms", [YEAR_3000_MS, NOW_MS + 700_000, 0, -5, NOW_MS - 8 * DAY_MS])
def test_an_event_of_another_time_is_rejected(app, time_ms):
    video = ids_of(app.page("u5"))[0]
    reason = rejection(app, "u5", app.event("like", video_id=video) | {"time_ms": time_ms})
    assert "time_ms" in reason
    app.clock.advance(1)
    assert len(app.page("u5")["videos"]) == 20


def test_a_body_of_ten_megabytes_is_a_413_and_the_next_request_is_answered(app):
    body = json.dumps({"events": [{"kind": "like", "text": "x" * 1_000}] * 10_000}).encode()
    assert len(body) > 10_000_000
    refused(app.client.post(EVENTS, content=body, headers=app.headers("u5")), 413, "larger")
    pieces = (body[start : start + 65_536] for start in range(0, len(body), 65_536))
    refused(app.client.post(EVENTS, content=pieces, headers=app.headers("u5")), 413, "larger")
    app.page("u5")


def test_a_million_events_in_one_batch_are_a_413(home):
    body = b"[" + b"1," * 999_999 + b"1]"
    with running(settings_of(home)) as app:
        refused(app.client.post(EVENTS, content=body, headers=app.headers("u5")), 413, "larger")
    with running(settings_of(home, max_body_bytes=10_000_000)) as app:
        refused(app.client.post(EVENTS, content=body, headers=app.headers("u5")), 413, "1000 events")


def test_an_impression_of_someone_elses_slate_is_rejected(app):
    page = app.page("u5")
    place = {"video_id": ids_of(page)[0], "slate_id": page["slate_id"]}
    assert "slate" in rejection(app, "u6", app.event("impression", **place))
    assert "slate" in rejection(app, "u6", app.event("like", **place))
    assert "token" in rejection(app, "u6", app.event("impression", viewer_id="u5", **place))
    other = next(v for v in app.product.state.table.video_ids if v not in ids_of(page))
    assert "slate" in rejection(app, "u5", app.event("impression", video_id=other, slate_id=page["slate_id"]))
    app.send("u5", app.event("impression", **place))


def test_a_watch_of_more_than_five_lengths_is_rejected(app):
    page = app.page("u5")
    video = page["videos"][0]
    length = app.product.state.table.length_ms[app.product.state.table.row(video["video_id"])].item()
    place = {"video_id": video["video_id"], "slate_id": page["slate_id"]}
    for play in (5 * length + 1, 10**12, -1):
        assert "play_ms" in rejection(app, "u5", app.event("watch", play_ms=play, length_ms=length, **place))
    lied = app.event("watch", play_ms=5 * length + 1, length_ms=100 * length, **place)
    assert "play_ms" in rejection(app, "u5", lied)
    app.send("u5", app.event("watch", play_ms=5 * length, length_ms=length, **place))


def test_a_video_of_zero_length_is_not_published_and_not_watched(app):
    fresh = {"video_id": "new", "author_id": "c1", "upload_ms": NOW_MS}
    for length in (0, -1):
        event = app.event("video_published", length_ms=length, **fresh)
        answer = app.post("staff", [event], role="operator").json()
        assert "length_ms" in answer["results"][0]["reason"]
    video = ids_of(app.page("u5"))[0]
    assert "length_ms" in rejection(app, "u5", app.event("watch", video_id=video, play_ms=0, length_ms=0))


# -------------------------------------------------------------------------------------------- disks


def test_events_onto_a_full_disk_are_a_507_and_nothing_acknowledged_is_lost(app):
    page = app.page("u5")
    end = app.call(app.product.stores.log.end)
    acknowledged = 0
    with full_disk(app.product.stores.log):
        for _ in range(500):
            events = [app.event("like", video_id=video) for video in ids_of(page) * 20]
            answer = app.post("u5", events)
            if answer.status_code != 200:
                break
            acknowledged += answer.json()["accepted"]
        error = refused(answer, 507, "No space is left")
        assert error["code"] == "storage_full"
        assert app.call(app.product.stores.log.end) == end + acknowledged
        assert app.page("u5", page=0)["slate_id"] == page["slate_id"]
    assert app.post("u5", events).json()["accepted"] == len(events)
    assert app.call(app.product.stores.log.end) == end + acknowledged + len(events)


def test_a_page_that_cannot_be_recorded_is_not_served(app):
    app.page("u5")
    with full_disk(app.product.stores.slates):
        answer = app.get(FEED, "u6")
        for number in range(2_000):
            if answer.status_code != 200:
                break
            answer = app.get(FEED, f"new-{number}")
        refused(answer, 507, "No space is left")
    assert len(app.page("u6")["videos"]) == 20


def test_events_whose_effects_find_no_room_are_kept_and_counted_once_when_there_is_room_again(app):
    page = app.page("u5")
    events = app.shown(page)
    processor = app.product.live.processor
    models = processor._models

    @contextmanager
    def no_room():
        """A full disk as it shows at the commit, after every statement went well."""
        with models.transaction():
            yield
            raise StorageFull("No space is left for state.db.")

    processor._models = replace(models, transaction=no_room)
    assert app.post("u5", events).json()["accepted"] == len(events)
    for _ in range(3):
        refused(app.get(FEED, "u6"), 507, "No space is left")
    processor._models = models
    assert not {*ids_of(page)} & {*ids_of(app.page("u5"))}, "by now it is known what was seen"
    table, totals = app.product.state.table, app.product.state.videos.counts.totals
    views = {video["video_id"]: int(totals[table.row(video["video_id"])][0]) for video in page["videos"]}
    assert views == {video["video_id"]: video["stats"]["views"] + 1 for video in page["videos"]}


# ------------------------------------------------------------------------------------------ bundles


def test_a_bundle_of_another_schema_is_not_served(home):
    (manifest,) = (home / "bundles").glob("*/manifest.json")
    document = json.loads(manifest.read_text())
    manifest.write_text(json.dumps(document | {"feature_schema": "of-another-build"}))
    with pytest.raises(SchemaMismatch, match="foryou train"), running(settings_of(home)):
        pass


@pytest.mark.parametrize("name", ["log.db", "state.db", "tables.db", "slates.db"])
def test_a_damaged_database_is_named_and_nothing_is_served_from_it(home, name):
    (home / name).write_bytes(b"\xff" * 100_000)
    with pytest.raises(CorruptData, match=rf"{name} is damaged"), running(settings_of(home)):
        pass


# ------------------------------------------------------------------------------------------- tokens


def forged(app, **changes):
    """The claims of a good token of u5, changed."""
    now_s = app.clock() // 1000
    good = {"sub": "u5", "role": "viewer", "iat": now_s, "exp": now_s + 900, "iss": "foryou", "aud": "foryou"}
    return good | changes


def tokens(app):
    """Tokens that must not be believed, by what is wrong with them."""
    foreign = rsa.generate_private_key(public_exponent=65_537, key_size=2048)
    pem = foreign.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    now_s = app.clock() // 1000
    hmac_key = app.keys.public_key
    header = jwt.utils.base64url_encode(b'{"alg":"HS256","typ":"JWT"}')
    signed = header + b"." + jwt.utils.base64url_encode(json.dumps(forged(app, role="operator")).encode())
    algorithm = jwt.algorithms.HMACAlgorithm(jwt.algorithms.HMACAlgorithm.SHA256)
    mac = jwt.utils.base64url_encode(algorithm.sign(signed, hmac_key))
    return {
        "expired": jwt.encode(forged(app, iat=now_s - 900, exp=now_s), app.keys.private_key, "RS256"),
        "of a foreign key": jwt.encode(forged(app), pem, "RS256"),
        "without a signature": jwt.encode(forged(app), None, "none"),
        "signed with the public key": (signed + b"." + mac).decode(),
        "no token": "nonsense",
    }


def test_without_a_believable_token_nothing_is_answered_and_nothing_is_kept(app):
    video = app.product.state.table.video_ids[0]
    end = app.call(app.product.stores.log.end)
    headers = {wrong: {"Authorization": f"Bearer {token}"} for wrong, token in tokens(app).items()}
    for wrong, header in {"missing": {}, **headers}.items():
        for answer in (
            app.client.get(FEED, headers=header),
            app.client.get("/api/v1/feed/explain/x", headers=header),
            app.client.post(EVENTS, json={"events": [app.event("like", video_id=video)]}, headers=header),
        ):
            assert answer.status_code == 401, wrong
            assert answer.headers["www-authenticate"].startswith("Bearer")
    assert app.call(app.product.stores.log.end) == end
    assert app.call(app.product.stores.slates.latest, "u5", 5) == []
