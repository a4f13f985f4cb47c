"""The server as a process: it starts, answers, finishes what it began and stops."""

import signal
import socket
import subprocess
import sys

import pytest

from core.errors import ConfigError
from core.settings import Settings
from serving.server import bind

PROGRAM = """
import asyncio, sys
from fastapi import FastAPI
from core.settings import Settings
from serving.server import bind, serve

app = FastAPI()

@app.get("/slow")
async def slow() -> str:
    print("asked", flush=True)
    await asyncio.sleep(0.5)
    return "done"

settings = Settings(port=0)
listener = bind(settings)
print(listener.getsockname()[1], flush=True)
serve(app, settings, listener)
print("closed", flush=True)
"""


def test_a_port_in_use_is_a_configuration_error_in_one_sentence():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError) as caught:
            bind(Settings(port=port))
    assert str(port) in caught.value.sentence
    assert "\n" not in caught.value.sentence


def test_an_address_that_is_not_ours_is_a_configuration_error():
    for host in ("192.0.2.1", "no such host"):
        with pytest.raises(ConfigError):
            bind(Settings(host=host, port=0))


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
def test_a_stopped_server_finishes_its_requests_and_returns_to_its_caller(stop):
    process = subprocess.Popen([sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE, text=True)
    try:
        port = int(process.stdout.readline())
        with socket.create_connection(("127.0.0.1", port), timeout=20) as client:
            client.sendall(b"GET /slow HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            assert process.stdout.readline() == "asked\n"
            process.send_signal(stop)
            answer = b"".join(iter(lambda: client.recv(4096), b""))
        assert answer.startswith(b"HTTP/1.1 200") and answer.endswith(b'"done"')
        assert process.stdout.read() == "closed\n"
        assert process.wait(10) == 0
    finally:
        process.kill()
        process.stdout.close()
        process.wait()
