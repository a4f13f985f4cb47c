"""`foryou features skew` and `foryou features join` over a home: what they print, write, and exit with."""

import asyncio
import json

import numpy as np
import pytest

from core.arrays import pack, unpack
from core.events import Impression
from core.slate import SlateDetail
from features.definitions import NAMES
from foryou.cli import main
from tests.features.served_world import ServedWorld


@pytest.fixture
def home(tmp_path):
    world = ServedWorld(tmp_path)
    world.live(80, 6)
    return tmp_path, world


def run(capsys, *arguments):
    """(exit code, stdout, stderr) of a command."""
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    out = capsys.readouterr()
    return ended.value.code, out.out, out.err


def test_a_home_whose_rows_come_out_again_exits_with_0_and_says_how_many(home, capsys):
    folder, _ = home
    code, out, _ = run(capsys, "features", "skew", "--home", folder, "--json")
    report = json.loads(out)
    assert code == 0 and (report["slates"], report["rows"], report["differences"]) == (6, 120, [])
    assert report["join"]["rows"] == 120 and report["join"]["max_ulp"] <= 1
    assert {one["entity"] for one in report["staleness"]} == {"viewer", "video", "author", "trend"}
    assert not list(folder.glob("skew-*")), "what the join needed is gone"


def test_a_value_that_was_not_what_serving_computed_exits_with_1_and_is_named(home, capsys):
    folder, world = home
    newest = asyncio.run(world.slates.logged(0, 100))[-1]
    arrays, _ = unpack(newest[2].served)
    arrays["features"][3, NAMES.index("video_watches_6h")] += np.float32(1)
    asyncio.run(world.slates.detail(SlateDetail(slate_id=newest[1].slate_id, served=pack(arrays))))
    code, out, _ = run(capsys, "features", "skew", "--home", folder, "--slates", 1, "--no-feast")
    assert code == 1 and "20 logged rows of 1 slates" in out
    assert "video_watches_6h" in out and newest[1].slate_id[:6] in out


def test_a_home_that_served_nothing_is_told_what_to_do(tmp_path, capsys):
    ServedWorld(tmp_path)
    code, _, err = run(capsys, "features", "skew", "--home", tmp_path)
    assert code == 2 and "serve some with `foryou feed`" in err


def test_days_that_are_final_become_rows_once(home, capsys):
    folder, world = home
    for place, slate, _ in asyncio.run(world.slates.logged(0, 100)):
        seen = Impression(
            event_id=f"seen{place}", viewer_id=slate.viewer_id, video_id=slate.video_ids[0], slate_id=slate.slate_id,
            time_ms=slate.time_ms + 1, ingested_ms=slate.time_ms + 1,
        )  # fmt: skip
        asyncio.run(world.log.append([seen]))
    code, out, _ = run(capsys, "features", "join", "--home", folder, "--json")
    first = json.loads(out)
    assert code == 0 and sum(day["rows"] for day in first["joined"]) == 6 and first["waiting"] == []
    files = sorted(path.relative_to(folder).as_posix() for path in (folder / "training_rows").rglob("*.parquet"))
    assert files == [f"training_rows/day={day['day']}/rows.parquet" for day in first["joined"]]
    again = json.loads(run(capsys, "features", "join", "--home", folder, "--json")[1])
    assert again["joined"] == [] and again["written_before"] == [day["day"] for day in first["joined"]]
