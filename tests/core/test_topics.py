"""The topics, and what is written of them."""

from pathlib import Path

import msgspec
import pytest

from core.errors import SchemaMismatch
from core.log import partition_of
from core.topics import MESSAGE_SCHEMA, TOPICS, FeedUpdate, decode_message, encode_message, partitions
from tests.core.topics_table import CARRIES, shared_fields, table

TEXT = (Path(__file__).parents[2] / "docs" / "topics.md").read_text()


def test_the_document_has_the_table_of_the_declarations():
    assert table() in TEXT, f"write this table into docs/topics.md:\n{table()}"
    assert shared_fields() in TEXT


def test_the_numbers_of_partitions_and_the_retention_are_the_platforms():
    spec = partitions("spec")
    names = ("video.uploaded", "video.processed", "user.interaction", "feed.update", "notification.trigger")
    assert [spec[name] for name in names] == [200, 200, 100, 100, 50]
    assert [TOPICS[name].retention_ms for name in names] == [7 * 86_400_000] * 5
    assert {partitions("local")[name] for name in names} == {4}


def test_every_topic_has_a_dead_letter_topic_and_a_schema_in_the_table():
    assert {f"{name}.dead" for name in TOPICS} < set(partitions("local"))
    assert set(CARRIES) == set(TOPICS)


def test_a_message_is_decoded_as_it_was_encoded_and_one_from_the_future_is_refused():
    message = FeedUpdate(recipient_id="u", video_id="v", author_id="a", time_ms=5, removed=True)
    assert decode_message(encode_message(message)) == message
    newer = msgspec.structs.replace(message, schema=MESSAGE_SCHEMA + 1)
    with pytest.raises(SchemaMismatch, match="has schema 2, this build reads up to 1"):
        decode_message(encode_message(newer))
    for noise in (b"", b"\xff\x00", encode_message(message)[:-1], msgspec.msgpack.encode({"kind": "other"})):
        with pytest.raises(SchemaMismatch, match="cannot be read"):
            decode_message(noise)


def test_the_partition_of_a_key_is_the_one_of_kafkas_own_clients():
    # The values of the test of Kafka's own `Utils.murmur2`.
    for key, hashed in (("21", -973932308), ("foobar", -790332482), ("a-little-bit-long-string", -985981536)):
        assert partition_of(key, 1 << 31) == hashed & 0x7FFFFFFF
    assert partition_of("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", 1 << 31) == -58897971 & 0x7FFFFFFF
