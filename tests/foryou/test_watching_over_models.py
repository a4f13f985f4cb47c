"""`foryou drift`, `foryou train --upload`, and a training whose bundle is refused."""

import asyncio

import foryou.commands.training as training
from tests.training.test_tracking import closed_port
from tests.training.test_tracking import run as tracked


def served_pages(home, viewers):
    """Serve each viewer a page, in this process."""
    from core.settings import Settings
    from foryou.bootstrap import open_product

    async def pages():
        product = await open_product(Settings(home=home, request_deadline_ms=30_000))
        try:
            for viewer in viewers:
                await product.page(viewer, page=None, limit=20, cursor=None, device="")
            await product.settled()
        finally:
            product.stores.close()

    asyncio.run(pages())


def test_drift_needs_slates_of_the_served_bundle(run, home):
    said = run("drift", "--home", home)
    assert (said.code, said.out) == (2, "")
    assert "are the fewest that say anything" in said.err


def test_drift_lists_every_feature_and_head_and_exits_with_what_it_says(run, home):
    served_pages(home, [f"u{number}" for number in range(40)])
    said = run("drift", "--json", "--home", home)
    report = said.json()
    assert report["slates"] == 40 and report["rows"] > 400
    kinds = {one["kind"] for one in report["moved"]}
    assert kinds == {"feature", "prediction"}
    beyond = {one["name"] for one in report["moved"] if one["psi"] > one["psi_bound"] or one["ks"] > one["ks_bound"]}
    assert set(report["alerts"]) == beyond
    assert said.code == (1 if beyond else 0)
    table = run("drift", "--home", home)
    assert table.code == said.code and report["bundle"] in table.out


def test_kept_runs_wait_for_mlflow_and_go_with_upload(run, home, monkeypatch):
    from training.tracking import Tracker

    assert "No run was kept" in run("train", "--upload", "--home", home).err
    champion = (home / "bundles" / "champion").read_text()
    Tracker(home).keep(tracked("k1", champion), {})
    monkeypatch.setenv("FORYOU_MLFLOW", f"http://127.0.0.1:{closed_port()}")
    said = run("train", "--upload", "--home", home)
    assert said.code == 6 and "1 run is kept" in said.err and said.err.count("\n") == 1
    monkeypatch.delenv("FORYOU_MLFLOW")
    assert run("train", "--upload", "--json", "--home", home).json() == {"sent": ["k1"], "waiting": 0, "reason": ""}


def test_with_records_off_what_is_nothing_but_a_record_says_so(run, home, monkeypatch):
    monkeypatch.setenv("FORYOU_MLFLOW", "off")
    for words in (["train", "--upload"], ["search", "--trials", "1"]):
        said = run(*words, "--home", home)
        assert said.code == 2 and "FORYOU_MLFLOW is off" in said.err and said.err.count("\n") == 1


def test_a_refused_bundle_is_one_sentence_and_an_answer(run, home, monkeypatch):
    from training.gates import GateRefused

    def refused(*_):
        raise GateRefused("Bundle b2 is not served and b1 stays the champion: long_view/auc is 0.5.")

    monkeypatch.setattr(training, "train_home", refused)
    said = run("train", "--home", home)
    assert (said.code, said.out) == (1, "")
    assert said.err.endswith("Bundle b2 is not served and b1 stays the champion: long_view/auc is 0.5.\n")
