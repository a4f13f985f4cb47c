"""A bundle that learns on from the served one: cheap, repeatable, held to the same gates, and only where it can."""

import asyncio
import json
from dataclasses import replace

import msgspec
import numpy as np
import pytest

from core.errors import NotFound, NothingNew, SchemaMismatch
from core.manifest import CHAMPION, MANIFEST, read_manifest
from features.layout import DAY_MS, OP
from foryou.stores import open_stores
from tests.training.fitted_world import CONFIG, NOW_MS, logged_world, written
from training.bundle_writer import crown
from training.incremental import increment, split_of_new
from training.incremental_fit import IncrementalConfig
from training.incremental_towers import CannotContinue
from training.log_data import load_log
from training.parent import parent_of
from training.pipeline import fit
from training.publication import Publication
from training.stored_bundle import stored_bundle

OWN = IncrementalConfig(min_rows=500)
OFFLINE = Publication("http://127.0.0.1:9", force=True)


def loaded(home, words=None):
    async def load():
        stores = open_stores(home, durable=False)
        try:
            return await load_log(stores.log, stores.videos, stores.tables, words)
        finally:
            stores.close()

    return asyncio.run(load())


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A home whose champion ends a day before its log does."""
    home = tmp_path_factory.mktemp("home")
    data = logged_world(home)
    older = fit(data, CONFIG, home / "scratch", test_day=int(data.events.time_ms.max()) // DAY_MS)
    crown(home / "bundles", written(home / "bundles", data, older).bundle_id)
    return home


@pytest.fixture(scope="module")
def grown(home):
    """What two increments of the same champion wrote: (parent, manifests, what the last one fitted)."""
    parent, manifests = parent_of(home / "bundles"), []
    for how in (OFFLINE, Publication(recorded=False, force=True)):
        data = loaded(home, parent.words)
        manifest, fitted = increment(data, parent, CONFIG, home, NOW_MS, how=how, increments=OWN)
        manifests.append(manifest)
        crown(home / "bundles", parent.manifest.bundle_id)
    return parent, manifests, fitted


def test_the_same_seed_champion_and_log_give_the_same_bundle(grown):
    parent, (first, second), _ = grown
    assert first.files == second.files and first.bundle_id == second.bundle_id
    assert first.bundle_id != parent.manifest.bundle_id


def test_an_increment_names_its_parent_in_manifest_and_record(grown, home):
    parent, (manifest, _), _ = grown
    assert (manifest.parent, manifest.increments) == (parent.manifest.bundle_id, 1)
    assert read_manifest(home / "bundles" / manifest.bundle_id) == manifest
    kept = [json.loads(path.read_bytes()) for path in (home / "mlflow_kept").glob("*/run.json")]
    tags = next(run["tags"] for run in kept if run["bundle"] == manifest.bundle_id)
    assert tags["incremental"] == "true" and tags["parent"] == parent.manifest.bundle_id


def test_heads_learn_from_rows_that_the_parent_had_not_seen_and_are_judged_on_the_newest(grown, home):
    parent, (manifest, _), fitted = grown
    time_ms, until_ms = fitted.rows.time_ms, parent.manifest.data_until_ms
    train, valid = fitted.ranking.train_index, fitted.ranking.valid_index
    assert time_ms[train].min() >= until_ms and time_ms[train].max() < time_ms[valid].min()
    assert len(valid) / (len(train) + len(valid)) == pytest.approx(OWN.valid_share, abs=0.02)
    verdict = json.loads((home / "bundles" / manifest.bundle_id / "gates.json").read_text())
    assert verdict["champion"] == parent.manifest.bundle_id and verdict["unseen"]
    assert manifest.data_until_ms > until_ms
    folders = parent.folder, home / "bundles" / manifest.bundle_id
    before, after = (stored_bundle(folder, fitted.serving.towers.videos).ranker for folder in folders)
    assert after.heads == before.heads and after.forest.trees > before.forest.trees
    assert np.array_equal(after.bins.upper, before.bins.upper)


def test_codes_go_on_from_those_of_the_bundle(home):
    parent = parent_of(home / "bundles")
    devices = tuple(reversed(parent.words.devices))
    turned = msgspec.structs.replace(parent.words, devices=("an older one", *devices))
    data = loaded(home, turned)
    assert tuple(data.state.devices.words[1:]) == turned.devices, "known words keep their places, new ones follow"
    assert data.words().devices == turned.devices


def test_nothing_new_and_too_little_are_told_and_change_nothing(home, grown):
    parent, (manifest, _), _ = grown
    data, served = loaded(home), (home / "bundles" / CHAMPION).read_text()
    with pytest.raises(NothingNew) as told:
        split_of_new(data, manifest, OWN, 0.0)
    assert told.value.sentence.endswith(f"where bundle {manifest.bundle_id} ends: no impression.")
    assert told.value.exit_code == 0
    with pytest.raises(NothingNew, match=r"only [\d,]+ impressions, and 1,000,000 are the fewest to learn from"):
        increment(data, parent, CONFIG, home, NOW_MS, increments=IncrementalConfig(min_rows=10**6))
    assert (home / "bundles" / CHAMPION).read_text() == served


def test_impressions_without_a_watch_teach_nothing(home, grown):
    parent, _, _ = grown
    data = loaded(home, parent.words)
    unreported = (data.events.op == OP["watch"]) & (data.events.time_ms >= parent.manifest.data_until_ms)
    data.driver.events = data.events.take(~unreported)
    with pytest.raises(NothingNew, match="no watch of the newest impressions was reported"):
        increment(data, parent, CONFIG, home, NOW_MS, increments=OWN)


def test_a_day_without_events_is_no_gap_that_matters(home, grown):
    parent, _, _ = grown
    idle = msgspec.structs.replace(parent.manifest, data_until_ms=parent.manifest.data_until_ms - DAY_MS)
    data = loaded(home, parent.words)
    shown, kept = data.events.surface > 0, data.events.time_ms >= parent.manifest.data_until_ms
    data.driver.events = data.events.take(kept | (data.events.time_ms < idle.data_until_ms))
    split = split_of_new(data, idle, OWN, 0.0)
    assert split.heads_from_ms == idle.data_until_ms
    assert split.valid_from_ms in data.events.time_ms and (shown & kept).any()


def test_there_is_nothing_to_go_on_from_without_a_champion_or_with_one_of_other_features(home, tmp_path):
    with pytest.raises(NotFound, match="run `foryou train` first"):
        parent_of(tmp_path)
    champion = (home / "bundles" / CHAMPION).read_text()
    folder = tmp_path / champion
    folder.mkdir()
    raw = json.loads((home / "bundles" / champion / MANIFEST).read_text())
    (folder / MANIFEST).write_text(json.dumps(raw | {"feature_schema": "other"}))
    crown(tmp_path, champion)
    with pytest.raises(SchemaMismatch, match="trained for feature schema other"):
        parent_of(tmp_path)


def test_a_full_training_is_due_after_so_many_increments_or_with_other_towers(home, grown):
    parent, _, _ = grown
    data = loaded(home, parent.words)
    old = replace(parent, manifest=msgspec.structs.replace(parent.manifest, increments=OWN.most))
    with pytest.raises(CannotContinue, match=f"increment {OWN.most} since the last full training"):
        increment(data, old, CONFIG, home, NOW_MS, increments=OWN)
    wide = CONFIG.model_copy(update={"towers": CONFIG.towers.model_copy(update={"dim": 32})})
    with pytest.raises(CannotContinue, match="its towers have dim 64 and the configuration asks for 32"):
        increment(data, parent, wide, home, NOW_MS, increments=OWN)
