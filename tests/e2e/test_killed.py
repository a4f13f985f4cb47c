"""A server process that is killed in the middle of a write loses nothing and counts nothing twice."""

import os
import signal
import subprocess
import sys
from contextlib import contextmanager

import httpx
import pytest

from features.layout import VIEWER_DTYPE
from foryou.stores import open_stores
from serving.auth import DevKeys
from tests.conftest import REPOSITORY
from tests.e2e.tiny import EVENTS, FEED, NOW_MS, ids_of, running, settings_of


@contextmanager
def server(home, moment):
    """The process and a client of u5's."""
    environment = os.environ | {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
    command = [sys.executable, "-m", "tests.e2e.killed_server", str(home), moment, str(NOW_MS)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=REPOSITORY, env=environment)
    token = DevKeys.ensure(home / "keys").issue("u5", ttl_s=900, clock=lambda: NOW_MS)
    try:
        port = int(process.stdout.readline())
        address, headers = f"http://127.0.0.1:{port}", {"Authorization": f"Bearer {token}"}
        with httpx.Client(base_url=address, headers=headers, timeout=60) as client:
            yield process, client
    finally:
        process.kill()
        process.wait(30)
        process.stdout.close()


def lived(page):
    """Everything on the page was watched, the first video liked; equal pages give equal events."""
    events = []
    for number, video in enumerate(page["videos"]):
        place = {"video_id": video["video_id"], "slate_id": page["slate_id"], "time_ms": NOW_MS + number}
        length = int(video["duration_sec"] * 1000)
        events.append({"kind": "impression", "event_id": f"shown-{number}", **place})
        events.append({"kind": "watch", "event_id": f"w-{number}", "play_ms": length, "length_ms": length, **place})
    return [*events, {"kind": "like", "event_id": "liked", **place}]


def state(app, page):
    """What the home holds of the viewer and of the videos: the log's length, records, reactions, public counts."""
    stores, table = app.product.stores, app.product.state.table
    (raw,) = app.call(stores.features.read, "viewer", ["u5"])
    rows = [table.row(video) for video in ids_of(page)]
    return {
        "log": app.call(stores.log.end),
        "seen": app.call(stores.history.seen, "u5"),
        "liked": app.call(stores.history.reactions, "u5").liked,
        "totals": app.product.state.videos.counts.totals[rows].tolist(),
        "videos": app.call(stores.features.read, "video", ids_of(page)),
        "viewer": raw,
    }


@pytest.mark.parametrize("moment", ["appended", "applying"])
def test_a_server_killed_before_its_answer_loses_nothing_and_doubles_nothing(new_home, moment):
    home, other = new_home(), new_home()
    with server(home, moment) as (process, client):
        page = client.get(FEED).json()
        assert len(page["videos"]) == 20
        with pytest.raises(httpx.TransportError):
            client.post(EVENTS, json={"events": lived(page)})
        assert process.wait(30) == -signal.SIGKILL
    settings = settings_of(home)
    with running(settings) as app:
        app.clock.now_ms = NOW_MS
        at_restart = state(app, page)
        report = app.post("u5", lived(page)).json()
        assert (report["accepted"], report["duplicates"]) == (0, 41), "what was on the log is known"
        assert state(app, page) == at_restart
        assert not set(ids_of(page)) & set(ids_of(app.page("u5")))
    expected = undisturbed(other, home, page)
    for part in expected:
        assert at_restart[part] == expected[part], part


def undisturbed(home, served_from, page):
    """The state that the same page and events leave in a home where nothing goes wrong."""
    source = open_stores(served_from)
    with running(settings_of(home)) as app:
        app.clock.now_ms = NOW_MS
        slate = app.call(source.slates.get, page["slate_id"])
        source.close()
        app.call(app.product.stores.slates.append, slate)
        app.send("u5", *lived(page))
        return state(app, page)


def test_a_killed_server_that_was_not_writing_goes_on_where_it_was(home):
    with server(home, "never") as (process, client):
        first = client.get(FEED).json()
        report = client.post(EVENTS, json={"events": lived(first)}).json()
        second = client.get(FEED).json()
        os.kill(process.pid, signal.SIGKILL)
        process.wait(30)
    assert report["accepted"] == 41
    with running(settings_of(home)) as app:
        assert ids_of(app.page("u5", cursor=first["cursor"])) == ids_of(second)
        third = app.page("u5")
        assert third["next_page"] == 3
        assert not set(ids_of(first) + ids_of(second)) & set(ids_of(third))
        record = app.call(app.product.stores.features.read, "viewer", ["u5"])[0]
        assert len(record) == VIEWER_DTYPE.itemsize
