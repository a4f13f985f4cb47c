"""The demo's one command on real servers: from nothing to a page that a replica of the cluster answers."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from deploy.stack import Stack
from tests.integration import servers
from tests.integration.running_cluster import answers, free_port

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_one_command_starts_servers_streams_a_world_through_them_trains_and_serves(tmp_path):
    servers.require("kafka", "cassandra", "redis", "postgres")  # that these can run here at all
    home, port = tmp_path / "home", free_port()
    own = {name: value for name, value in os.environ.items() if not name.startswith("FORYOU_")}
    own["FORYOU_MLFLOW"] = "off"  # its figures take as long as all the rest
    sizes = ["--viewers", "60", "--videos", "300", "--impressions", "3000"]
    command = [sys.executable, "-m", "foryou", "demo", "--stack", *sizes, "--port", str(port), "--home", str(home)]
    with (tmp_path / "told.txt").open("wb") as told:
        demo = subprocess.Popen(command, stdout=told, stderr=told, cwd=ROOT, env=own)
    try:
        until = time.monotonic() + 240
        while not answers(port):
            assert demo.poll() is None and time.monotonic() < until, (tmp_path / "told.txt").read_text()[-3_000:]
            time.sleep(0.5)
        said = (tmp_path / "told.txt").read_text()
        token = said.split("Authorization: Bearer ", 1)[1].split("'", 1)[0]
        page = whole_page(f"http://127.0.0.1:{port}/api/v1/feed/for-you?limit=5", token)
        assert len(page["videos"]) == 5, page
        assert "stack up" in said  # where the second terminal finds the servers
        demo.send_signal(signal.SIGINT)
        demo.wait(60)
        assert {status.state for status in Stack(home / "stack").status()} == {"ready"}
    finally:
        demo.kill()
        Stack(home / "stack").remove()


def whole_page(url, token, tries=5):
    """A page with nothing late; on a machine under such load a read may be, and the page says so: it is asked again."""
    for _ in range(tries):
        page = asked(url, token)
        if page["degraded"] == []:
            break
        time.sleep(1.0)
    return page


def asked(url, token):
    """A page as JSON."""
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)
