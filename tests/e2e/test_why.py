"""Why a page is what it is: explanations, replays and metrics of a running product."""

import json

import pytest

from tests.e2e.tiny import EXPLAIN, FEED, ids_of, running, settings_of


def explained(app, slate_id, viewer, role="viewer"):
    answer = app.get(f"{EXPLAIN}/{slate_id}", viewer, role)
    assert answer.status_code == 200, answer.text
    return answer.json()


def disturb(app):
    """Other viewers watch, a video goes, another comes, an author is blocked."""
    for viewer in ("u7", "u8"):
        app.watched(viewer, app.page(viewer), ratio=1.2)
    page = app.page("u5")
    app.watched("u5", page, ratio=0.02)
    gone = ids_of(page)[0]
    fresh = {"video_id": f"new-{gone}", "author_id": "c1", "length_ms": 9_000, "upload_ms": app.clock(), "topic": "t1"}
    events = [app.event("video_removed", video_id=gone), app.event("video_published", **fresh)]
    app.send("staff", *events, role="operator")
    app.send("u5", app.event("block", author_id=page["videos"][1]["user"]["user_id"]))
    app.clock.advance(16)
    app.page("u9")


def test_the_owner_learns_source_value_terms_and_moves_of_every_video(app):
    page = app.page("u5")
    why = explained(app, page["slate_id"], "u5")
    assert (why["viewer_id"], why["fidelity"]) == ("u5", "full")
    assert why["bundle_id"] == app.product.bundle.manifest.bundle_id
    assert [video["video_id"] for video in why["videos"]] == ids_of(page)
    for position, video in enumerate(why["videos"]):
        assert video["position"] == position
        assert video["source"] in video["sources"]
        terms = video["terms"].values()
        assert video["value"] == pytest.approx(sum(term["term"] for term in terms), rel=1e-9)
        assert all(term["term"] == term["prediction"] * term["weight"] for term in terms)
        assert video["moved"] == video["value_rank"] - position
        assert len(video["features"]) == len(app.product.bundle.manifest.feature_names)
    ranks = [video["value_rank"] for video in why["videos"]]
    values = [video["value"] for video in why["videos"]]
    assert len(set(ranks)) == 20
    assert sorted(ranks) == sorted(ranks, key=lambda rank: -values[ranks.index(rank)])


def test_the_stages_of_an_explanation_are_those_that_ran(app):
    why = explained(app, app.page("u5")["slate_id"], "u5")
    stages = [(stage["kind"], stage["name"]) for stage in why["stages"]]
    assert stages[:4] == [
        ("source", "two_tower"), ("source", "item_to_item"), ("source", "fresh"), ("source", "popular"),
    ]  # fmt: skip
    assert stages[-2:] == [("selector", "diversity"), ("selector", "exploration")]
    filters = [name for kind, name in stages if kind == "filter"]
    assert {"removed", "seen", "own", "blocked_author", "hidden_author"} <= set(filters)


def test_an_explanation_says_which_places_were_drawn_from_what_and_how_likely(app):
    why = explained(app, app.page("u5")["slate_id"], "u5")
    drawn = [video["position"] for video in why["videos"] if video["drawn"]]
    assert (why["policy"], drawn) in (("slots", drawn), ("plackett_luce", list(range(20)))) and drawn[-1] == 19
    assert why["pool"] >= len(drawn) and why["temperature"] > 0
    for video in why["videos"]:
        assert 0 < video["propensity"] <= 1 and (video["drawn"] or video["propensity"] == 1)
        assert ("thompson" in video["adjustments"]) and not video["pinned"]


def test_a_pin_of_the_home_is_shown_at_its_place_and_explained_until_it_expires(home):
    with running(settings_of(home)) as app:
        dropped = explained(app, app.page("u5")["slate_id"], "u5")["dropped"]
        video = next(other["video_id"] for other in dropped if other["stage"] == "diversity")
    pin = {"video": video, "slot": 2, "owner": "ana", "expires": "2999-01-01T00:00:00Z"}
    (home / "boosts.json").write_text(json.dumps({"rules": [pin]}))
    with running(settings_of(home)) as app:
        page = app.page("u5")
        assert ids_of(page)[2] == video
        assert explained(app, page["slate_id"], "u5")["videos"][2]["pinned"]
        app.send("u5", app.event("block", author_id=page["videos"][2]["user"]["user_id"]))
        assert video not in ids_of(app.page("u5", page=0))
        (home / "boosts.json").write_text('{"rules": []}')
        app.clock.advance(16)
        page = app.page("u6")
        assert not any(told["pinned"] for told in explained(app, page["slate_id"], "u6")["videos"])


def test_only_the_owner_and_an_operator_get_an_explanation(app):
    slate = app.page("u5")["slate_id"]
    assert explained(app, slate, "staff", "operator") == explained(app, slate, "u5")
    stranger, unknown = app.get(f"{EXPLAIN}/{slate}", "u6"), app.get(f"{EXPLAIN}/nowhere", "u6")
    assert stranger.status_code == unknown.status_code == 404
    assert stranger.content == unknown.content
    assert app.client.get(f"{EXPLAIN}/{slate}").status_code == 401


def test_a_slate_kept_in_full_names_the_stage_that_dropped_each_other_candidate(app):
    first = app.page("u5")
    author = first["videos"][0]["user"]["user_id"]
    app.watched("u5", first)
    app.send("u5", app.event("block", author_id=author))
    page = app.page("u5")
    why = explained(app, page["slate_id"], "u5")
    dropped = {video["video_id"]: (video["kind"], video["stage"]) for video in why["dropped"]}
    assert set(dropped.values()) <= {(stage["kind"], stage["name"]) for stage in why["stages"]}
    assert len(dropped) > 500
    assert not set(dropped) & set(ids_of(page))
    assert not set(dropped) & set(ids_of(first)), "what was seen is not even retrieved"
    table = app.product.state.table
    blocked = {video for video in dropped if table.authors.words[table.author[table.row(video)]] == author}
    assert blocked
    assert {dropped[video] for video in blocked} == {("filter", "blocked_author")}


def test_a_kept_slate_is_replayed_bit_for_bit_now_after_further_events_and_after_a_restart(home):
    settings = settings_of(home)
    with running(settings) as app:
        slates = []
        for _ in range(3):
            page = app.page("u5")
            app.watched("u5", page)
            slates.append(page["slate_id"])
        clock = app.clock
        for later in (lambda: None, lambda: disturb(app)):
            later()
            for slate in slates:
                replay = app.call(app.product.replay, slate)
                assert (replay.fidelity, replay.identical) == ("full", True)
                assert replay.recorded == replay.replayed
    with running(settings, clock) as app:
        assert [app.call(app.product.replay, slate).identical for slate in slates] == [True] * 3


def test_an_explanation_stays_the_same_after_further_events(app):
    slate = app.page("u5")["slate_id"]
    before = explained(app, slate, "u5")
    disturb(app)
    assert explained(app, slate, "u5") == before


def test_a_slate_not_kept_in_full_is_scored_again_from_its_features(home):
    with running(settings_of(home, full_slate_share=0.0, debug_viewers=("u6",))) as app:
        slate, watched = app.page("u5")["slate_id"], app.page("u6")["slate_id"]
        disturb(app)
        replay = app.call(app.product.replay, slate)
        assert (replay.fidelity, replay.identical, replay.replayed) == ("features", True, ())
        why = explained(app, slate, "u5")
        assert (why["fidelity"], why["dropped"]) == ("features", [])
        assert all(video["terms"] for video in why["videos"])
        assert app.call(app.product.replay, watched).fidelity == "full"


def test_metrics_count_requests_stages_events_and_what_was_left_out(app):
    page = app.page("u5")
    app.watched("u5", page)
    app.post("u5", [app.event("like", video_id="unknown")])
    app.get(FEED, "u5", limit=0)
    lines = dict(line.rsplit(" ", 1) for line in app.client.get("/metrics").text.splitlines() if line[0] != "#")
    assert lines['foryou_request_seconds_count{route="/api/v1/feed/for-you",status="200"}'] == "1.0"
    assert lines['foryou_request_seconds_count{route="/api/v1/feed/for-you",status="400"}'] == "1.0"
    for kind, name in app.product.surface().components():
        assert lines[f'foryou_stage_seconds_count{{kind="{kind}",stage="{name}"}}'] == "1.0"
    assert lines['foryou_events_total{status="accepted"}'] == "40.0"
    assert lines['foryou_events_total{status="rejected"}'] == "1.0"
