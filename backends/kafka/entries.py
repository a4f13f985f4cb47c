"""Kafka's records as entries of the log."""

from collections.abc import Iterable
from typing import Any

from core.log import Entry


def entries_of(topic: str, records: Iterable[Any]) -> list[Entry]:
    """Consumed records of a topic, under the name that it has without the prefix."""
    return [
        Entry(
            topic, record.partition, record.offset + 1, record.key.decode("utf-8", "replace") if record.key else "",
            record.value or b"", record.timestamp, _headers(record.headers) if record.headers else {},
        )
        for record in records
    ]  # fmt: skip


def _headers(found: Iterable[tuple[str, bytes]]) -> dict[str, str]:
    return {name: value.decode("utf-8", "replace") for name, value in found}


def header_bytes(headers: dict[str, str]) -> list[tuple[str, bytes]]:
    """Headers as the driver takes them."""
    return [(name, value.encode()) for name, value in headers.items()]
