"""A run arrives in MLflow with all that it has, and is kept in the home while MLflow does not answer."""

import socket
import sqlite3

import pytest
from mlflow.tracking import MlflowClient

from training.tracking import KEPT, MODEL, Run, Tracker

PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A home with two bundles and one MLflow database, which takes seconds to make."""
    folder = tmp_path_factory.mktemp("home")
    for bundle in ("b1", "b2"):
        (folder / "bundles" / bundle).mkdir(parents=True)
        (folder / "bundles" / bundle / "manifest.json").write_text("{}")
    return folder


def run(key, bundle="b1", champion=True):
    return Run(
        key=key, name=bundle, time_ms=1_700_000_000_000, bundle=bundle, champion=champion,
        parameters={"seed": 3, "towers": {"dim": 16}}, metrics={"auc": 0.75, "nothing": float("nan")},
        curves={"loss": (0.7, 0.6, 0.5)}, tags={"data_fingerprint": "f00d"},
    )  # fmt: skip


def closed_port():
    """A port on which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def client_of(home):
    return MlflowClient(tracking_uri=f"sqlite:///{home / 'mlflow.db'}")


def the_run(client, key):
    experiment = client.get_experiment_by_name("foryou")
    found = client.search_runs([experiment.experiment_id], f"tags.`foryou.key` = '{key}'")
    assert len(found) == 1
    return found[0]


def test_a_run_arrives_with_parameters_curves_tags_plots_and_a_version_of_the_model(home):
    tracker = Tracker(home)
    tracker.keep(run("r1"), {"calibration.png": PNG})
    uploaded = tracker.upload()
    assert (uploaded.sent, uploaded.waiting, uploaded.sentence) == (("r1",), 0, "")
    client = client_of(home)
    logged = the_run(client, "r1")
    assert logged.info.status == "FINISHED"
    assert logged.data.params == {"seed": "3", "towers.dim": "16"}
    assert logged.data.metrics == {"auc": 0.75, "loss": 0.5}, "what is no number is left out"
    assert [point.value for point in client.get_metric_history(logged.info.run_id, "loss")] == [0.7, 0.6, 0.5]
    assert logged.data.tags["data_fingerprint"] == "f00d"
    assert [file.path for file in client.list_artifacts(logged.info.run_id, "plots")] == ["plots/calibration.png"]
    assert [file.path for file in client.list_artifacts(logged.info.run_id, "bundle")] == ["bundle/manifest.json"]
    version = client.get_model_version_by_alias(MODEL, "champion")
    assert (version.run_id, version.tags) == (logged.info.run_id, {"bundle": "b1"})
    assert not list((home / KEPT).iterdir())


def test_a_bundle_that_is_not_served_is_a_version_without_the_alias(home):
    tracker = Tracker(home)
    tracker.keep(run("r2"), {})
    tracker.upload()
    tracker.keep(run("r3", "b2", champion=False), {})
    tracker.upload()
    client = client_of(home)
    assert client.get_model_version_by_alias(MODEL, "champion").run_id == the_run(client, "r2").info.run_id
    refused = client.search_model_versions(f"name = '{MODEL}' and run_id = '{the_run(client, 'r3').info.run_id}'")
    assert [version.tags for version in refused] == [{"bundle": "b2"}]


def test_a_server_that_is_down_leaves_the_run_in_the_home_and_the_next_upload_sends_it(home):
    down = Tracker(home, f"http://127.0.0.1:{closed_port()}")
    down.keep(run("r4"), {"calibration.png": PNG})
    uploaded = down.upload()
    assert (uploaded.sent, uploaded.waiting) == ((), 1)
    assert uploaded.sentence.endswith("so 1 run is kept; `foryou train --upload` sends what was kept.")
    assert "\n" not in uploaded.sentence
    assert [path.name for path in down.waiting()] == ["r4"]
    assert (home / KEPT / "r4" / "plots" / "calibration.png").read_bytes() == PNG
    assert Tracker(home).upload().sent == ("r4",)
    assert the_run(client_of(home), "r4").data.metrics["auc"] == 0.75


def test_an_upload_that_was_cut_short_goes_on_in_the_same_run(home):
    tracker = Tracker(home)
    tracker.keep(run("r5"), {})
    tracker.upload()
    tracker.keep(run("r5"), {"late.png": PNG})
    assert tracker.upload().sent == ("r5",)
    client = client_of(home)
    logged = the_run(client, "r5")
    assert [point.value for point in client.get_metric_history(logged.info.run_id, "loss")] == [0.7, 0.6, 0.5]
    assert len(client.search_model_versions(f"name = '{MODEL}' and run_id = '{logged.info.run_id}'")) == 1


def test_a_folder_that_was_not_written_to_its_end_is_no_run(home):
    (home / KEPT / "r6.part" / "plots").mkdir(parents=True)
    assert Tracker(home).waiting() == []


def test_a_database_that_is_full_keeps_the_run(tmp_path, home):
    source, full = sqlite3.connect(home / "mlflow.db"), tmp_path / "mlflow.db"
    with sqlite3.connect(full) as copy:
        source.backup(copy)
        # Whoever writes one more row is told that the disk is full, as SQLite does where it is.
        copy.execute("CREATE TRIGGER full BEFORE INSERT ON runs BEGIN SELECT RAISE(ABORT, 'database is full'); END")
    copy.close()
    tracker = Tracker(tmp_path)
    tracker.keep(run("r7"), {})
    uploaded = tracker.upload()
    assert uploaded.waiting == 1 and "full" in uploaded.sentence
    assert [path.name for path in tracker.waiting()] == ["r7"]
