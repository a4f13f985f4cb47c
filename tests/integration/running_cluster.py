"""A whole product on real servers: workers and replicas as processes of their own that a test may kill."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

ROOT = Path(__file__).parents[2]


def free_port():
    """A port that nothing listens on now."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


class Program:
    """One `foryou` process: started, killed, started again."""

    command = ("-m", "foryou")

    def __init__(self, cluster, name, arguments, ready):
        self.cluster, self.name, self.arguments, self._ready = cluster, name, arguments, ready
        self._process = None
        self.log = cluster.home / f"{name}.log"

    def start(self, wait=True):
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, *self.command, *self.arguments, "--home", str(self.cluster.home)],
                stdout=log, stderr=log, stdin=subprocess.DEVNULL, cwd=ROOT, env=self.cluster.environment(self.name),
            )  # fmt: skip
        if wait:
            self.wait()
        return self

    def wait(self, timeout_s=90):
        """Until it is ready."""
        until = time.monotonic() + timeout_s
        while not self._ready(self):
            if self._process.poll() is not None:
                raise AssertionError(f"{self.name} ended with {self._process.returncode}:\n{self.tail()}")
            assert time.monotonic() < until, f"{self.name} is not ready:\n{self.tail()}"
            time.sleep(0.1)

    def kill(self):
        """SIGKILL: nothing is finished."""
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()

    def stop(self):
        """SIGTERM, and the exit status."""
        if self._process is None or self._process.poll() is not None:
            return None
        self._process.terminate()
        try:
            return self._process.wait(30)
        except subprocess.TimeoutExpired:
            self.kill()
            return None

    def running(self):
        """Whether it has not ended."""
        return self._process is not None and self._process.poll() is None

    def tail(self):
        return self.log.read_text(errors="replace")[-4_000:]

    @property
    def pid(self):
        return self._process.pid


class RunningCluster:
    """A home on a stack of its own, with its programs by name."""

    def __init__(self, home, addresses, prefix):
        self.home, self.addresses, self.prefix = Path(home), addresses, prefix
        self.home.mkdir(parents=True, exist_ok=True)
        self.programs = {}

    def settings(self):
        """What every process of this cluster is told."""
        a = self.addresses
        return {
            "backends": "cluster", "kafka": a.kafka, "cassandra": a.cassandra, "redis": a.redis,
            "postgres": a.postgres, "cassandra_keyspace": self.prefix, "kafka_prefix": f"{self.prefix}.",
            "redis_prefix": f"{self.prefix}:",
        }  # fmt: skip

    def environment(self, replica):
        own = {name: value for name, value in os.environ.items() if not name.startswith("FORYOU_")}
        told = {f"FORYOU_{name.upper()}": value for name, value in self.settings().items()}
        quiet = {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE", "PYTHONUNBUFFERED": "1", "FORYOU_MLFLOW": "off"}
        return {**own, **quiet, **told, "FORYOU_REPLICA": replica}

    def run(self, *arguments, timeout_s=280):
        """One command to its end; its output."""
        done = subprocess.run(
            [sys.executable, "-m", "foryou", *arguments, "--home", str(self.home)],
            capture_output=True, text=True, cwd=ROOT, env=self.environment("command"), timeout=timeout_s,
        )  # fmt: skip
        assert done.returncode == 0, f"foryou {' '.join(arguments)}:\n{done.stdout[-3000:]}\n{done.stderr[-5000:]}"
        return done.stdout

    def worker(self, name="worker", *arguments, wait=True):
        """A stream worker, started."""
        program = Program(self, name, ["work", "features", *arguments], lambda p: "ready" in p.tail())
        self.programs[name] = program
        return program.start(wait)

    def replica(self, name, wait=True):
        """A replica of the API, started."""
        port = free_port()
        program = Program(self, name, ["serve", "--port", str(port)], lambda p: answers(port))
        program.url = f"http://127.0.0.1:{port}"
        self.programs[name] = program
        return program.start(wait)

    def stop(self):
        for program in self.programs.values():
            program.stop()


def answers(port):
    """Whether a replica says that it is ready."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/ready", timeout=2) as answer:
            return answer.status == 200
    except OSError:
        return False
