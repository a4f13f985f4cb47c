"""What each command prints and leaves behind, on a tiny world."""

import socket
import subprocess
import sys

import jwt
import pytest

from foryou.cli import main

VIEWER = "u3"


def test_help_lists_every_command_and_every_exit_code(run):
    said = run("--help")
    assert said.code == 0
    for word in ("demo", "world", "import", "train", "evaluate", "serve", "token", "feed", "explain", "replay"):
        assert word in said.out
    assert "Exit codes" in said.out and "130" in said.out


@pytest.mark.parametrize(
    "command",
    ["demo", "world", "import kuairand", "import events", "train", "evaluate", "serve", "token", "feed", "explain",
     "replay"],
)  # fmt: skip
def test_every_command_has_an_example_in_its_help(run, command):
    assert "Example:" in run(*command.split(), "--help").out


@pytest.mark.parametrize("arguments", [["--help"], ["token", "u1"]])
def test_help_and_tokens_need_no_library_of_models(arguments, tmp_path):
    program = (
        "import sys\nfrom foryou.cli import main\n"
        f"try: main({[*arguments, *(['--home', str(tmp_path)] if 'token' in arguments else [])]!r})\n"
        "except SystemExit: pass\n"
        "heavy = ('torch', 'mlflow', 'lightgbm', 'ray', 'numba', 'pandas', 'pyarrow', 'faiss')\n"
        "print(*(name for name in heavy if name in sys.modules), file=sys.stderr)"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stderr.split() == []


def test_serving_needs_neither_torch_nor_mlflow_nor_lightgbm_nor_ray():
    program = (
        "import sys\nimport foryou.cli, foryou.bootstrap, serving.server, foryou.commands.serving\n"
        "print(*(name for name in ('torch', 'mlflow', 'lightgbm', 'ray') if name in sys.modules))"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout.split() == []


def test_token_prints_a_token_and_nothing_else(run, tmp_path):
    said = run("token", "u1", "--operator", "--home", tmp_path)
    claims = jwt.decode(said.out.strip(), options={"verify_signature": False})
    assert (claims["sub"], claims["role"]) == ("u1", "operator")
    assert claims["exp"] - claims["iat"] == 86_400
    assert said.out.count("\n") == 1 and said.err == ""


def test_feed_shows_a_page_and_records_its_slate(run, home):
    first = run("feed", VIEWER, "--home", home)
    assert first.code == 0
    assert "two_tower" in first.out or "popular" in first.out
    assert f"For {VIEWER}, slate " in first.out
    shown = run("feed", VIEWER, "--limit", 5, "--json", "--home", home).json()
    assert len(shown["videos"]) == 5
    for video in shown["videos"]:
        assert f" {video['video_id']} " not in first.out, "the next page repeats nothing of the page before"


def test_explain_and_replay_of_a_slate(run, home):
    slate = run("feed", VIEWER, "--json", "--home", home).json()["slate_id"]
    table = run("explain", slate, "--home", home)
    assert table.code == 0 and slate in table.out
    why = run("explain", slate, "--json", "--home", home).json()
    assert [video["position"] for video in why["videos"]] == list(range(len(why["videos"])))
    assert why["viewer_id"] == VIEWER
    again = run("replay", slate, "--json", "--home", home)
    assert (again.code, again.json()["identical"]) == (0, True)
    assert "identical" in run("replay", slate, "--home", home).out


def test_a_viewer_nobody_knows_needs_the_flag_new(run, home):
    said = run("feed", "stranger", "--home", home)
    assert (said.code, said.out) == (3, "")
    assert "stranger" in said.err and "--new" in said.err
    assert len(run("feed", "stranger", "--new", "--json", "--home", home).json()["videos"]) == 20


def test_training_again_prints_its_manifest(run, home):
    again = ("train", "--rounds", 3, "--epochs", 1, "--seed", 1, "--force", "--home", home, "--json")
    manifest = run(*again).json()
    assert (home / "bundles" / "champion").read_text() == manifest["bundle_id"]
    assert manifest["seed"] == 1 and "long_view" in manifest["heads"]


@pytest.mark.slow
def test_evaluate_compares_every_head_and_source(run, home):
    report = run("evaluate", "--rounds", 3, "--epochs", 1, "--home", home, "--json").json()
    assert report["test_day"] == "2024-01-06", "six days from 2024-01-01, and the sliver after midnight is no day"
    assert {"popular", "item_to_item", "two_tower", "blend"} <= {s["source"] for s in report["retrieval"]["sources"]}
    assert report["heads"][0]["popularity"].keys() >= {"ours", "baseline", "low", "high"}


def test_a_mapped_log_is_imported_once(run, tmp_path):
    arguments = ("import", "events", "examples/clips_log.csv", "--map", "examples/clips_mapping.yaml", "--json")
    first = run(*arguments, "--home", tmp_path / "h").json()
    again = run(*arguments, "--home", tmp_path / "h").json()
    assert first["events"] > 0 and again["events"] == 0
    assert first["rows"] == again["rows"]


def test_the_world_is_built_once_and_another_size_is_refused(run, trained_home):
    from tests.trained_home import SIZE

    again = run("world", *SIZE, "--days", 6, "--home", trained_home, "--json")
    assert (again.code, again.json()["events"]) == (0, 0)
    other = run("world", *SIZE, "--days", 7, "--home", trained_home)
    assert other.code == 2 and "use another --home" in other.err


def test_the_environment_names_the_home(run, home, monkeypatch, capsys):
    monkeypatch.setenv("FORYOU_HOME", str(home))
    with pytest.raises(SystemExit):
        main(["feed", VIEWER, "--json"])
    assert '"slate_id"' in capsys.readouterr().out


def test_serve_says_that_its_port_is_taken(run, home):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        said = run("serve", "--port", port, "--home", home)
    assert said.code == 4
    assert str(port) in said.err and said.err.count("\n") == 1
