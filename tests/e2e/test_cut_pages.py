"""Pages that were cut from what ranked behind the first one: explained, replayed and free of skew like any other."""

import asyncio

import pytest

from foryou.commands.skew import check_home
from foryou.console import Steps
from tests.e2e.tiny import EXPLAIN, ids_of, running, settings_of


@pytest.fixture
def cut(home):
    """A viewer's ranked page and the two that were cut behind it."""
    with running(settings_of(home, full_slate_share=0)) as app:
        pages = [app.page("u5") for _ in range(3)]
        app.call(app.product.settled)
        yield app, pages


def looks(app):
    text = app.client.get("/metrics").text
    return [line for line in text.splitlines() if line.startswith('foryou_cache_looks_total{cache="foryou"')]


def test_the_pages_behind_the_first_are_cut_and_repeat_nothing(cut):
    app, pages = cut
    assert len({video for page in pages for video in ids_of(page)}) == 60
    assert sorted(looks(app)) == [f'foryou_cache_looks_total{{cache="foryou",found="{found}"}} {count}'
                                  for found, count in (("no", 1.0), ("yes", 2.0))]  # fmt: skip


def test_a_cut_page_is_explained_and_its_rows_score_the_same_again(cut):
    app, pages = cut
    for page in pages:
        why = app.get(f"{EXPLAIN}/{page['slate_id']}", "u5").json()
        assert [video["video_id"] for video in why["videos"]] == ids_of(page)
        assert all(video["sources"] and video["terms"] for video in why["videos"])
        again = app.call(app.product.replay, page["slate_id"])
        assert (again.fidelity, again.identical) == ("features", True)


def test_the_logged_rows_of_a_cut_page_come_out_of_the_log_again(cut, home):
    app, pages = cut
    app.watched("u5", pages[0])
    app.page("u5")
    app.call(app.product.settled)
    with Steps() as steps:
        report = asyncio.run(check_home(settings_of(home), 10, False, steps))
    assert report.clean


def test_a_like_ends_the_cutting(cut):
    app, pages = cut
    app.watched("u5", pages[0], ratio=0.5)
    app.send("u5", app.event("like", video_id=ids_of(pages[0])[0], slate_id=pages[0]["slate_id"]))
    before = looks(app)
    app.page("u5")
    assert sorted(looks(app)) != sorted(before) and any('found="no"} 2.0' in line for line in looks(app))
