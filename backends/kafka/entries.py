"""Kafka's records as entries of the log."""

from typing import Any

from core.log import Entry


def as_entry(record: Any, prefix: int) -> Entry:
    """A consumed record; the first `prefix` characters of its topic are not part of the name."""
    headers = {name: value.decode("utf-8", "replace") for name, value in record.headers} if record.headers else {}
    key = record.key.decode("utf-8", "replace") if record.key else ""
    return Entry(
        record.topic[prefix:], record.partition, record.offset + 1, key, record.value or b"", record.timestamp, headers
    )


def header_bytes(headers: dict[str, str]) -> list[tuple[str, bytes]]:
    """Headers as the driver takes them."""
    return [(name, value.encode()) for name, value in headers.items()]
