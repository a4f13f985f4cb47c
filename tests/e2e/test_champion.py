"""Training crowns another bundle while the product serves: the next pages come from it, and nobody notices more."""

import json
import shutil

import pytest

from core.manifest import CHAMPION, MANIFEST
from foryou.champion import ChampionFollower
from tests.e2e.tiny import ids_of

WEIGHTS = {"click": 50.0}


@pytest.fixture
def follower(app):
    return ChampionFollower(app.product)


def crowned(app, name, **changed):
    """A copy of the served bundle under another id, with other fields in its manifest."""
    bundles = app.product.settings.bundles
    shutil.copytree(bundles / app.product.bundle.manifest.bundle_id, bundles / name)
    path = bundles / name / MANIFEST
    path.write_text(json.dumps(json.loads(path.read_text()) | {"bundle_id": name} | changed))
    (bundles / CHAMPION).write_text(name)


def test_the_next_page_comes_from_the_bundle_that_was_crowned_and_the_session_goes_on(app, follower):
    first = app.page("u5")
    assert not app.call(follower.look), "nothing else was crowned"
    crowned(app, "other", value_weights=WEIGHTS)
    assert app.call(follower.look) and not app.call(follower.look)
    assert ids_of(app.page("u5", page=0)) == ids_of(first)
    second = app.page("u5")
    assert second["next_page"] == 2 and not set(ids_of(first)) & set(ids_of(second))
    slates = [app.call(app.product.stores.slates.get, page["slate_id"]) for page in (first, second)]
    assert [slate.bundle_id == "other" for slate in slates] == [False, True]
    app.call(app.product.settled)
    assert app.get(f"/api/v1/feed/explain/{first['slate_id']}", "u5").status_code == 200
    terms = app.get(f"/api/v1/feed/explain/{second['slate_id']}", "u5").json()["videos"][0]["terms"]
    assert {name: term["weight"] for name, term in terms.items() if term["weight"]} == WEIGHTS


def test_what_was_published_since_training_is_found_by_the_towers(app, follower):
    fresh = {"video_id": "new-1", "author_id": "c1", "length_ms": 9_000, "upload_ms": app.clock(), "topic": "t1"}
    app.send("staff", app.event("video_published", **fresh), role="operator")
    app.page("u5")
    crowned(app, "other")
    assert app.call(follower.look)
    app.send("staff", app.event("video_published", **fresh | {"video_id": "new-2"}), role="operator")
    app.clock.advance(20)
    app.page("u6")
    bundle, table = app.product.bundle, app.product.state.table
    assert len(bundle.index) == len(bundle.towers.vectors) == len(bundle.unit_content) == len(table)
    assert table.row("new-2") == len(table) - 1


@pytest.mark.parametrize("broken", ["schema", "file", "nothing"])
def test_a_bundle_that_cannot_be_served_is_told_of_once_and_the_old_one_stays(app, follower, broken, caplog):
    served = app.product.bundle.manifest.bundle_id
    crowned(app, "bad", **({"feature_schema": "of another build"} if broken == "schema" else {}))
    if broken == "file":
        (app.product.settings.bundles / "bad" / "words.json").write_text("{}")
    if broken == "nothing":
        shutil.rmtree(app.product.settings.bundles / "bad")
    assert not app.call(follower.look) and not app.call(follower.look)
    assert app.product.bundle.manifest.bundle_id == served and len(ids_of(app.page("u5"))) == 20
    assert [
        record.message.count("goes on being served") for record in caplog.records if "goes on" in record.message
    ] == [1]
    crowned_again = app.product.settings.bundles / CHAMPION
    crowned_again.write_text(served)
    assert not app.call(follower.look)
