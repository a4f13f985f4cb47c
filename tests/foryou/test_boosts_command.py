"""`foryou boosts`: which rules hold, and a sentence for what is none."""

import json


def rule(**fields):
    return {"owner": "ana", "expires": "2999-01-01T00:00:00Z"} | fields


def test_it_shows_which_rules_hold(run, tmp_path):
    rules = [
        rule(video="v1", slot=2),
        rule(author="a1", factor=1.5, expires="2020-01-01T00:00:00Z"),
        rule(author="a2", factor=0, starts="2998-01-01T00:00:00Z"),
    ]
    (tmp_path / "boosts.json").write_text(json.dumps({"rules": rules}))
    said = run("boosts", "--home", tmp_path, "--json")
    assert said.code == 0
    assert [(item["owner"], item["state"]) for item in json.loads(said.out)] == [
        ("ana", "holds"), ("ana", "expired"), ("ana", "to come"),
    ]  # fmt: skip
    assert "place 3" in run("boosts", "--home", tmp_path).out


def test_without_a_file_there_are_none_and_a_malformed_rule_is_a_sentence(run, tmp_path):
    assert json.loads(run("boosts", "--home", tmp_path, "--json").out) == []
    (tmp_path / "boosts.json").write_text(json.dumps({"rules": [rule(video="v1")]}))
    said = run("boosts", "--home", tmp_path)
    assert (said.code, said.out) == (2, "")
    assert "must have either a factor or a slot" in said.err and said.err.count("\n") == 1
