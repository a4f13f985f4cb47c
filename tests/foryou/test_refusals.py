"""Bad input and broken homes: one sentence on stderr, nothing on stdout, an exit code that means something."""

import json

import pytest

VIEWER = "u3"


@pytest.mark.parametrize("command", [["train"], ["evaluate"], ["serve"], ["feed", "u1"], ["explain", "s"]])
def test_a_home_without_a_log_is_named_and_not_made(run, tmp_path, command):
    said = run(*command, "--home", tmp_path / "none")
    assert (said.code, said.out) == (3, "")
    assert "There is no log in" in said.err and said.err.count("\n") == 1
    assert not (tmp_path / "none").exists()


def test_an_empty_log_cannot_be_trained_on(run, tmp_path):
    from foryou.stores import open_stores

    open_stores(tmp_path).close()
    said = run("train", "--home", tmp_path)
    assert said.code == 2
    assert "is empty" in said.err


def test_a_log_without_a_bundle_cannot_be_served(run, home):
    (home / "bundles" / "champion").unlink()
    said = run("feed", VIEWER, "--home", home)
    assert said.code == 3
    assert "foryou train" in said.err


def test_a_bundle_of_another_schema_says_to_train_again(run, home):
    champion = (home / "bundles" / "champion").read_text()
    path = home / "bundles" / champion / "manifest.json"
    manifest = json.loads(path.read_text())
    path.write_text(json.dumps(manifest | {"feature_schema": "0" * 16}))
    said = run("feed", VIEWER, "--home", home)
    assert said.code == 7
    assert "0000000000000000" in said.err and "foryou train" in said.err


def test_a_damaged_file_of_a_bundle_is_named(run, home):
    champion = (home / "bundles" / "champion").read_text()
    (home / "bundles" / champion / "words.json").write_text("{}")
    said = run("feed", VIEWER, "--home", home)
    assert said.code == 7
    assert "words.json" in said.err


@pytest.mark.parametrize("name", ["log.db", "state.db", "slates.db"])
def test_a_damaged_database_is_named(run, home, name):
    (home / name).write_bytes(b"this is no database at all, whatever its name says. " * 200)
    for suffix in ("-wal", "-shm"):
        (home / (name + suffix)).unlink(missing_ok=True)
    said = run("feed", VIEWER, "--home", home)
    assert said.code == 7
    assert name in said.err and said.err.strip().count("\n") <= 1


def test_an_unknown_slate_is_not_found(run, home):
    for command in ("explain", "replay"):
        said = run(command, "nope", "--home", home)
        assert said.code == 3 and "nope" in said.err


@pytest.mark.parametrize("day", ["yesterday", "2022-13-45", "30.04.2022"])
def test_a_test_day_that_is_no_date_is_refused(run, home, day):
    said = run("evaluate", "--test-day", day, "--home", home)
    assert said.code == 2
    assert day in said.err and "2022-04-30" in said.err


def test_a_test_day_outside_the_log_is_refused(run, home):
    said = run("evaluate", "--test-day", "2031-01-01", "--home", home)
    assert said.code == 2
    assert "day" in said.err and "Traceback" not in said.err


def test_a_setting_that_is_none_is_named(run, home, monkeypatch):
    monkeypatch.setenv("FORYOU_PORT", "many")
    said = run("serve", "--home", home)
    assert said.code == 4
    assert "FORYOU_PORT" in said.err and "many" in said.err


def test_a_bad_option_is_a_usage_error(run, home):
    assert run("feed", VIEWER, "--limit", 51, "--home", home).code == 2
    assert run("feed").code == 2
    assert run("fed", VIEWER).code == 2


def test_an_import_of_nothing_names_the_path(run, tmp_path):
    said = run("import", "kuairand", tmp_path / "nowhere", "--home", tmp_path / "h")
    assert said.code == 3 and "nowhere" in said.err
    said = run("import", "events", tmp_path / "log.csv", "--map", tmp_path / "map.yaml", "--home", tmp_path / "h")
    assert said.code == 3 and "map.yaml" in said.err


def test_an_unknown_law_is_refused(run, tmp_path):
    said = run("world", "--law", "murphy", "--home", tmp_path)
    assert said.code == 2 and "murphy" in said.err


def test_a_bug_keeps_its_traceback(monkeypatch):
    import foryou.cli
    from core.errors import ContractError

    def broken(*_, **__):
        raise ContractError("A scorer gave too few rows.")

    monkeypatch.setattr(foryou.cli, "build", lambda: broken)
    with pytest.raises(ContractError):
        foryou.cli.main(["feed"])


def test_a_full_disk_is_one_sentence(run, home, monkeypatch):
    import errno

    import foryou.commands.training as training

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(training, "train_home", full)
    said = run("train", "--home", home)
    assert said.code == 6 and said.err.strip().startswith("No space is left")
