"""One real question to each kind of server, in its own protocol; OSError where it does not answer as it should."""

import socket
import struct

from deploy.ports import LOOPBACK

_TIMEOUT_S = 3.0
_CQL_REQUEST, _CQL_QUERY, _CQL_STARTUP, _CQL_READY, _CQL_RESULT = 4, 0x07, 0x01, 0x02, 0x08


def ask_redis(port: int) -> None:
    """PING."""
    if redis_command(port, "PING") != "PONG":
        raise OSError("it does not answer PING")


def redis_command(port: int, *words: str) -> str:
    """The answer to one command, which is a line or one text; OSError where it is an error."""
    sent = [f"*{len(words)}\r\n", *(f"${len(word.encode())}\r\n{word}\r\n" for word in words)]
    with _connected(port) as server, server.makefile("rb") as answers:
        server.sendall("".join(sent).encode())
        line = answers.readline().decode().rstrip()
        if line.startswith("$"):
            return answers.read(int(line[1:])).decode()
    if line[:1] not in ("+", ":"):
        raise OSError(f"it answers {' '.join(words)} with {line or 'nothing'}")
    return line[1:]


def ask_kafka(port: int) -> None:
    """Metadata of the cluster, which must name at least one broker."""
    header = struct.pack(">hhih", 3, 1, 7, -1)  # Metadata, version 1, correlation 7, no client name
    body = struct.pack(">i", 0)  # about no topic
    with _connected(port) as server:
        server.sendall(struct.pack(">i", len(header + body)) + header + body)
        (size,) = struct.unpack(">i", _exactly(server, 4))
        _, brokers = struct.unpack_from(">ii", _exactly(server, size))
        if brokers < 1:
            raise OSError("it knows no broker yet")


def ask_cassandra(port: int) -> None:
    """A CQL session that reads one row of the system's own."""
    query = b"SELECT release_version FROM system.local"
    with _connected(port) as server:
        version = _string_map({"CQL_VERSION": "3.0.0"})
        if _cql(server, _CQL_STARTUP, version) != _CQL_READY:
            raise OSError("it refuses a CQL session")
        if _cql(server, _CQL_QUERY, struct.pack(">i", len(query)) + query + struct.pack(">hB", 1, 0)) != _CQL_RESULT:
            raise OSError("it does not answer CQL")


def ask_postgres(port: int, user: str, database: str) -> None:
    """A session, up to the question for the password."""
    words = f"user\0{user}\0database\0{database}\0\0".encode()
    with _connected(port) as server:
        server.sendall(struct.pack(">ii", len(words) + 8, 196_608) + words)
        if _some(server, 1) != b"R":
            raise OSError("it takes no sessions yet")


def _connected(port: int) -> socket.socket:
    return socket.create_connection((LOOPBACK, port), timeout=_TIMEOUT_S)


def _cql(server: socket.socket, operation: int, body: bytes) -> int:
    """The operation of the answer to one CQL request."""
    server.sendall(struct.pack(">BBhBi", _CQL_REQUEST, 0, 0, operation, len(body)) + body)
    _, _, _, answer, size = struct.unpack(">BBhBi", _exactly(server, 9))
    _exactly(server, size)
    return int(answer)


def _string_map(values: dict[str, str]) -> bytes:
    texts = [text.encode() for pair in values.items() for text in pair]
    return struct.pack(">h", len(values)) + b"".join(struct.pack(">h", len(text)) + text for text in texts)


def _exactly(server: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        data += _some(server, size - len(data))
    return data


def _some(server: socket.socket, size: int) -> bytes:
    data = server.recv(size)
    if not data:
        raise OSError("it ended the connection")
    return data
