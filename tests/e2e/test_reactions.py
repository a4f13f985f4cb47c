"""What a viewer does on a page changes the very next one, compared with the same viewer who did not do it.

Two copies of one home get the same requests, the same ids and the same times; only the reaction differs.
"""

from collections import Counter

import numpy as np
import pytest

from features.layout import VIEWER_DTYPE
from feeds.config import ForYouConfig
from feeds.details import read_full
from feeds.stages import ReactionScorer
from tests.e2e.tiny import authors_of, copy, ids_of, running, settings_of

VIEWERS = ("u5", "u17", "u40", "u77", "u120", "u200")


def lived(home, reaction):
    """Per viewer: the topic of most videos of the first page, both pages, why the second is so, and its candidates.

    `reaction` gives the share watched of a video of this topic and the events that follow the watch.
    """
    outcomes = []
    with running(settings_of(home), prefix="a") as app:
        for viewer in VIEWERS:
            first = app.page(viewer)
            topic = Counter(video["category"] for video in first["videos"]).most_common(1)[0][0]
            events = []
            for video in first["videos"]:
                ratio, *kinds = reaction if video["category"] == topic else (0.5,)
                app.clock.advance(1)
                length = int(video["duration_sec"] * 1000)
                place = {"video_id": video["video_id"], "slate_id": first["slate_id"]}
                events.append(app.event("impression", **place))
                events.append(app.event("watch", play_ms=int(ratio * length), length_ms=length, **place))
                events += [app.event(kind, **_object_of(kind, video, place)) for kind in kinds]
            app.send(viewer, *events)
            second = app.page(viewer)
            why = app.get(f"/api/v1/feed/explain/{second['slate_id']}", viewer).json()
            outcomes.append((topic, first, second, why, ranked(app, second["slate_id"])))
    return outcomes


def _object_of(kind, video, place):
    return {"author_id": video["user"]["user_id"]} if kind in ("follow", "hide_author", "block") else place


class Reached(dict):
    """The columns of the candidates that reached the ranker."""

    def __len__(self):
        return len(self["value"])


def ranked(app, slate_id):
    """(video, topic) -> value, with what was said lately, of every candidate that reached the ranker."""
    full, bundle = read_full(app.call(app.product.stores.slates.get_detail, slate_id)), app.product.bundle
    columns = {name.rpartition(":")[2]: column for name, column in full.recorded.items()}
    reached = np.flatnonzero(columns["features"].any(axis=1))
    values = bundle.values(np.asfortranarray(columns["features"][reached]))
    batch = Reached(value=values, content=columns["content"][reached])
    values = ReactionScorer(bundle, ForYouConfig()).score(full.query, batch)
    table = app.product.state.table
    rows = full.candidates.rows[reached]
    names = [(table.video_ids[row], table.topics.words[table.topic[row]]) for row in rows]
    return dict(zip(names, values, strict=True))


def of_topic(outcomes):
    """Videos of each viewer's topic on the second pages, in all."""
    return sum(video["category"] == topic for topic, _, page, *_ in outcomes for video in page["videos"])


def lift(outcomes, others):
    """By how much more the value of each viewer's topic rose than that of all else, between two lives; a mean."""
    lifts = []
    for (topic, *_, mine), (*_, theirs) in zip(outcomes, others, strict=True):
        changes = {key: mine[key] - theirs[key] for key in mine if key in theirs}
        inside = [change for (_, of), change in changes.items() if of == topic]
        lifts.append(np.mean(inside) - np.mean([change for (_, of), change in changes.items() if of != topic]))
    return float(np.mean(lifts))


@pytest.fixture(scope="module")
def indifferent(trained_home, tmp_path_factory):
    """Everyone watched everything half."""
    return lived(copy(trained_home, tmp_path_factory.mktemp("indifferent") / "home"), (0.5,))


def second_pages(outcomes):
    """Every second page with all that its videos show."""
    return [page["videos"] for _, _, page, *_ in outcomes]


def test_equal_lives_give_equal_pages(new_home, indifferent):
    again = lived(new_home(), (0.5,))
    assert second_pages(again) == second_pages(indifferent)
    assert [values for *_, values in again] == [values for *_, values in indifferent]


def test_who_finishes_a_topic_gets_more_of_it_than_who_skips_it(new_home, indifferent):
    finished, skipped = lived(new_home(), (1.3,)), lived(new_home(), (0.01,))
    assert lift(finished, skipped) > 0
    for other in (finished, skipped):
        assert all(ids_of(a[2]) != ids_of(b[2]) for a, b in zip(indifferent, other, strict=True))


def test_who_marks_a_topic_as_not_interesting_gets_less_of_it(new_home, indifferent):
    disliked = lived(new_home(), (0.5, "not_interested"))
    assert lift(disliked, indifferent) < 0
    # Repeats have their price, so that a page seldom has three of a topic anyway.
    assert of_topic(disliked) <= of_topic(indifferent)


@pytest.mark.parametrize("kind", ["like", "share", "save", "comment"])
def test_who_likes_or_shares_a_topic_gets_more_of_it(new_home, indifferent, kind):
    liked = lived(new_home(), (0.5, kind))
    assert lift(liked, indifferent) > 0


def test_the_page_after_a_follow_knows_of_it(new_home, indifferent):
    followed = lived(new_home(), (0.5, "follow"))
    again = 0
    for topic, first, second, why, _ in followed:
        authors = {video["user"]["user_id"] for video in first["videos"] if video["category"] == topic}
        for video, told in zip(second["videos"], why["videos"], strict=True):
            if video["user"]["user_id"] in authors:
                assert told["features"]["follows_author"] == 1
                again += 1
    assert again > 0
    assert second_pages(followed) != second_pages(indifferent)


@pytest.mark.parametrize("kind", ["hide_author", "block"])
def test_the_page_after_hiding_or_blocking_has_nothing_of_those_authors(new_home, kind):
    for topic, first, second, why, _ in lived(new_home(), (0.5, kind)):
        authors = {video["user"]["user_id"] for video in first["videos"] if video["category"] == topic}
        assert not authors & authors_of(second)
        stages = {video["stage"] for video in why["dropped"]}
        assert {"block": "blocked_author", "hide_author": "hidden_author"}[kind] in stages


def test_the_recorded_history_holds_what_was_done_in_its_order(app):
    page = app.page("u5")
    app.watched("u5", page)
    page = app.page("u5")
    raw = app.call(app.product.stores.features.read, "viewer", ["u5"])[0]
    record = np.frombuffer(raw, VIEWER_DTYPE)[0]
    table = app.product.state.table
    last = [table.video_ids[row] for row in record["history_video"][: record["history_len"]][-20:]]
    assert len(set(last)) == 20
    assert not set(last) & set(ids_of(page))
