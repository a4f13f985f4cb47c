"""Loopback ports that nobody listens on."""

import socket
import time
import zlib

LOOPBACK = "127.0.0.1"
_FIRST, _COUNT = 20_000, 12_000  # below the ports that systems lend to outgoing connections


def is_free(port: int) -> bool:
    """Whether a server could listen there now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def becomes_free(port: int, within_s: float) -> bool:
    """Whether a server could listen there within a time; a killed one's connections may linger."""
    deadline = time.monotonic() + within_s
    while not is_free(port):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def free_port(name: str, taken: set[int]) -> int:
    """A free port that is not among the taken ones; where all are free, equal names get equal ports."""
    start = zlib.crc32(name.encode())
    for step in range(_COUNT):
        port = _FIRST + (start + step) % _COUNT
        if port not in taken and is_free(port):
            return port
    raise OSError(f"no port between {_FIRST} and {_FIRST + _COUNT} is free")
