"""`foryou train --incremental`, its schedule, and one training at a time in a home."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from itertools import pairwise

import msgspec
import pytest

from core.errors import ConfigError, InputError
from core.manifest import CHAMPION, read_manifest, write_manifest
from features.layout import DAY_MS
from foryou.commands.schedule import keep_training, period_s
from foryou.one_training import only_training

FEW = ("--rounds", "5", "--epochs", "1")


def champion(home):
    return (home / "bundles" / CHAMPION).read_text()


def aged(home, ms):
    """Let the champion say that its data end earlier, so that the last part of the log is new."""
    folder = home / "bundles" / champion(home)
    manifest = read_manifest(folder)
    older = {"data_until_ms": manifest.data_until_ms - ms, "applied_offset": manifest.applied_offset - 1}
    write_manifest(folder, msgspec.structs.replace(manifest, **older))


def test_nothing_new_is_a_note_and_no_failure(run, home):
    before = champion(home)
    said = run("train", "--incremental", *FEW, "--home", home)
    assert (said.code, said.out) == (0, "")
    assert "There is nothing new since " in said.err and f"where bundle {before} ends: no impression." in said.err
    assert champion(home) == before
    assert run("train", "--incremental", *FEW, "--home", home, "--json").json()["bundle_id"] == before


def test_an_increment_of_a_home_is_served_from(run, home):
    parent = champion(home)
    aged(home, 2 * DAY_MS)
    manifest = run("train", "--incremental", *FEW, "--force", "--home", home, "--json").json()
    assert (manifest["parent"], manifest["increments"]) == (parent, 1)
    assert champion(home) == manifest["bundle_id"] != parent
    page = run("feed", "u1", "--home", home, "--json")
    assert page.code == 0 and len(page.json()["videos"]) > 5


def test_other_towers_are_a_sentence_and_a_full_training(run, home, monkeypatch):
    import training.incremental as incremental
    import training.pipeline as pipeline
    from training.incremental_towers import CannotContinue

    def other(*_, **__):
        raise CannotContinue("its towers have dim 64 and the configuration asks for 32")

    called = []
    aged(home, DAY_MS)
    monkeypatch.setattr(incremental, "increment", other)
    monkeypatch.setattr(
        pipeline, "train", lambda *_: (called.append(1), (read_manifest(home / "bundles" / champion(home)), None))[1]
    )
    said = run("train", "--incremental", *FEW, "--home", home, "--json")
    assert said.code == 0 and called == [1]
    sentence = f"Bundle {champion(home)} is not continued, its towers have dim 64 and the configuration asks for 32"
    assert f"{sentence}: everything is trained anew." in said.err


def test_without_a_champion_a_full_training_is_asked_for(run, home):
    (home / "bundles" / CHAMPION).unlink()
    said = run("train", "--incremental", "--home", home)
    assert said.code == 3 and "run `foryou train` first" in said.err


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("--every", "1h"), "A period is for increments"),
        (("--incremental", "--logged"), "leave out --logged"),
        (("--incremental", "--every", "soon"), "write it as 30m, 1h, 24h or 1d"),
    ],
)
def test_options_that_do_not_fit_are_a_sentence(run, home, words, why):
    said = run("train", *words, "--home", home)
    assert said.code == 2 and why in said.err


def test_a_period_is_a_number_with_a_unit():
    assert [period_s(text) for text in ("90s", "30m", "1h", "24h", "2d")] == [90, 1_800, 3_600, 86_400, 172_800]
    for text in ("0h", "1", "h", "-1h", "1.5h", ""):
        with pytest.raises(InputError):
            period_s(text)


def test_there_is_one_training_at_a_time_in_a_home(tmp_path):
    another = rf"Another training works in .* \(process {os.getpid()}\)"
    with only_training(tmp_path), pytest.raises(ConfigError, match=another), only_training(tmp_path):
        pass
    with only_training(tmp_path):
        pass


def scheduled(codes, every_s=0.01):
    """What a schedule says over runs with these exit codes, and when each began; the last one stops it."""
    said, began = [], []

    async def work():
        stop, left = asyncio.Event(), list(codes)

        async def run():
            began.append(asyncio.get_running_loop().time())
            if len(left) == 1:
                stop.set()
            return left.pop(0)

        await keep_training(run, every_s, stop, said.append)

    asyncio.run(work())
    return said, began


def test_a_schedule_goes_on_after_failures_and_waits_longer_after_each(monkeypatch):
    monkeypatch.setattr("foryou.commands.schedule._FIRST_PAUSE_S", 0.02)
    said, began = scheduled([0, 1, 6, 6, -9, 0, 0], every_s=0.05)
    pauses = [later - earlier for earlier, later in pairwise(began)]
    assert len(began) == 7 and [text.split("exit code ")[1][:2] for text in said] == ["6)", "6)", "-9"]
    least = [0.05, 0.05, 0.02, 0.04, 0.05, 0.05]  # a refused bundle is an answer; no pause is longer than the period
    assert all(0.9 * bound <= pause for pause, bound in zip(pauses, least, strict=True))


def test_a_schedule_ends_cleanly_when_it_is_told_to(home):
    """Nothing is new, so that the run itself is short; then the schedule waits, and SIGTERM ends it."""
    command = [sys.executable, "-m", "foryou", "train", "--incremental", *FEW, "--every", "1h", "--home", str(home)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    said = ""
    while "There is nothing new since" not in said:
        line = process.stderr.readline()
        assert line, said
        said += line
    time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    out, rest = process.communicate(timeout=30)
    assert (process.returncode, out) == (0, "")
    assert rest.strip().endswith("Stopped; the served bundle is the last one that was crowned.")


def test_drift_is_told_once_and_goes_with_the_record(home):
    from foryou.commands.increments import warning_of, watched
    from training.drift import DriftReport, Moved
    from training.publication import Publication

    far = Moved(kind="feature", name="hour", psi=2.0, psi_bound=0.3, ks=0.1, ks_bound=0.3)
    near = msgspec.structs.replace(far, name="like", psi=0.1)
    report = DriftReport(bundle="b1", slates=40, rows=400, alerts=("hour",), moved=(far, near))
    said = warning_of(report)
    assert said.startswith("Warning: 1 of 2 features and predictions moved beyond the bounds since bundle b1")
    assert "(hour)" in said and "\n" not in said
    how = watched(Publication(), report)
    assert how.tags == {"drift": "hour"}
    assert how.metrics == {"drift/alerts": 1.0, "drift/slates": 40.0, "drift/largest_psi": 2.0}
    assert watched(Publication(), None).tags == {"drift": "too few slates"}
    assert json.loads((home / "home.json").read_text())["utc_offset_h"] == 0
