"""The app answers through Ray Serve exactly as it does without."""

import json
import socket
import urllib.request

import pytest

from core.settings import Settings


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def test_a_worker_gets_every_setting_as_text_that_settings_reads_back(tmp_path, monkeypatch):
    ray_app = pytest.importorskip("serving.ray_app")
    settings = Settings(home=tmp_path, port=8123, debug_viewers=("a", "b"), full_slate_share=0.5)
    for name, value in ray_app.worker_environment(settings).items():
        monkeypatch.setenv(name, value)
    assert Settings() == settings


@pytest.mark.slow
def test_a_replica_builds_the_app_with_the_drivers_settings_and_answers(tmp_path):
    ray_app = pytest.importorskip("serving.ray_app")
    settings = Settings(home=tmp_path, port=free_port())

    def build():
        import os

        from fastapi import FastAPI

        from core.settings import Settings

        app = FastAPI()

        @app.get("/whoami")
        async def whoami() -> dict[str, str]:
            return {"home": str(Settings().home), "threads": os.environ["OMP_NUM_THREADS"]}

        return app

    with ray_app.ray_running(build, settings):
        url = f"http://{settings.host}:{settings.port}/whoami"
        with urllib.request.urlopen(url, timeout=20) as answer:
            assert answer.status == 200
            assert json.load(answer) == {"home": str(tmp_path), "threads": "1"}
    import ray

    assert not ray.is_initialized()
