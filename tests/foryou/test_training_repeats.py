"""The same seed and the same log give the same bundle, whatever the process and its environment."""

import json
import os
import subprocess
import sys


def test_another_process_trains_the_same_bundle(home):
    """The fixture was trained by this process, and its copy is trained by one with another order of hashes and another
    number of threads to begin with."""
    first = json.loads((home / "bundles" / (home / "bundles" / "champion").read_text() / "manifest.json").read_text())
    environment = os.environ | {"PYTHONHASHSEED": "12345", "OMP_NUM_THREADS": "1", "FORYOU_MLFLOW": "off"}
    program = "from foryou.cli import main; main()"
    command = [sys.executable, "-c", program, "train", "--rounds", "5", "--epochs", "1", "--home", str(home), "--json"]
    trained = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert trained.returncode == 0, trained.stderr
    again = json.loads(trained.stdout)
    assert again["files"] == first["files"]
    assert again["bundle_id"] == first["bundle_id"]
    assert again["metrics"] == first["metrics"]
    assert again["created_ms"] > first["created_ms"], "only the clock went on"
