"""What is stored comes back as it was, or is refused with a reason: queries, slates, events, packed arrays."""

from dataclasses import fields

import msgspec
import numpy as np
import pytest

from core import events as E
from core.arrays import pack, unpack
from core.errors import CorruptData, InputError, SchemaMismatch
from core.query import Query
from core.slate import Slate, decode_slate, encode_slate

NOW_MS = 1_700_000_000_000
STATE = np.zeros(1, np.dtype([("count", np.int64, (2,)), ("flag", np.uint8)]))


def test_a_query_survives_the_trip_through_bytes_whole():
    query = Query(
        viewer_id="ann", surface="for_you", session_id="s", now_ms=NOW_MS, page=3, limit=20, seed=2**32 - 1,
        slate_id="x", region="r", profile=("a", "b"), viewer_state=STATE, seen=np.array([4, 2], np.int32),
        own_author=7, keep_full=True, degraded=("seen",),
    )  # fmt: skip
    again = Query.from_bytes(query.to_bytes())
    for item in fields(Query):
        before, after = getattr(query, item.name), getattr(again, item.name)
        if isinstance(before, np.ndarray):
            assert before.dtype == after.dtype and before.tobytes() == after.tobytes(), item.name
        else:
            assert before == after and type(before) is type(after), item.name


def test_a_query_without_a_viewer_state_comes_back_without_one():
    query = Query(viewer_id="a", surface="s", session_id="", now_ms=1, page=0, limit=1, seed=0)
    assert Query.from_bytes(query.to_bytes()).viewer_state is None


@pytest.mark.parametrize("cut", [0, 1, 10, 100, -1, -30])
def test_a_record_that_was_cut_short_is_corrupt(cut):
    with pytest.raises(CorruptData):
        unpack(pack({"x": np.arange(50)}, {"k": 1})[:cut])


def test_a_damaged_byte_gives_the_same_record_or_says_corrupt():
    raw = pack({"x": np.arange(300), "state": STATE}, {"k": 1})
    for at in range(len(raw)):
        broken = raw[:at] + bytes([raw[at] ^ 0x5A]) + raw[at + 1 :]
        try:
            unpack(broken)
        except CorruptData:
            continue


def test_an_archive_that_we_did_not_write_is_corrupt(tmp_path):
    np.savez(tmp_path / "x.npz", x=np.arange(3))
    with pytest.raises(CorruptData):
        unpack((tmp_path / "x.npz").read_bytes())


def test_a_slate_survives_the_trip_through_bytes():
    slate = Slate(
        slate_id="s", viewer_id="v", session_id="x", surface="for_you", time_ms=1, page=0, seed=3,
        video_ids=("a", "b"), sources=("fresh", "popular"), propensities=(0.5, 1.0), degraded=("seen",),
    )  # fmt: skip
    assert decode_slate(encode_slate(slate)) == slate


def example(kind):
    """An event of each kind with only the fields that it must have."""
    required = {"play_ms": 5, "length_ms": 9, "upload_ms": 3}
    facts = {
        item.name: required.get(item.name, f"some-{item.name}")
        for item in msgspec.structs.fields(kind)
        if item.required and item.name not in ("event_id", "viewer_id", "time_ms")
    }
    return kind(event_id="e", viewer_id="v", time_ms=NOW_MS, **facts)


@pytest.mark.parametrize("kind", (*E.VIEWER_EVENTS, *E.CATALOGUE_EVENTS))
def test_every_kind_of_event_survives_encoding(kind):
    event = example(kind)
    again = E.decode(E.encode(event))
    assert again == event and type(again) is kind and E.kind_of(again) == E.kind_of(event)


def test_the_kinds_are_all_that_can_be_decoded_and_have_names_of_their_own():
    kinds = (*E.VIEWER_EVENTS, *E.CATALOGUE_EVENTS)
    assert set(E.AnyEvent.__args__) == set(kinds)
    assert len({kind.__struct_config__.tag for kind in kinds}) == len(kinds)


def test_an_event_of_a_newer_schema_asks_for_an_upgrade():
    event = E.Like(event_id="e", viewer_id="v", time_ms=1, video_id="x", schema=E.SCHEMA_VERSION + 1)
    with pytest.raises(SchemaMismatch, match="upgrade"):
        E.decode(E.encode(event))


def test_fields_that_a_newer_writer_added_are_passed_over():
    document = msgspec.msgpack.decode(E.encode(example(E.Like))) | {"mood": "good"}
    assert E.decode(msgspec.msgpack.encode(document)) == example(E.Like)


@pytest.mark.parametrize("raw", [b"", b"\x00", b"\xff\xff", msgspec.msgpack.encode({"kind": "dance"}), b"\x80"])
def test_bytes_that_are_no_event_are_refused(raw):
    with pytest.raises(SchemaMismatch):
        E.decode(raw)


LONG = "x" * (E.MAX_ID_CHARS + 1)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"event_id": ""}, "event_id"),
        ({"event_id": LONG}, "event_id"),
        ({"viewer_id": ""}, "viewer_id"),
        ({"time_ms": 0}, "time_ms"),
        ({"time_ms": NOW_MS + 600_001}, "time_ms"),
        ({"video_id": LONG}, "video_id"),
        ({"viewer_id": "u\0"}, "viewer_id"),
        ({"video_id": "v\0"}, "video_id"),
        ({"length_ms": 0}, "length_ms"),
        ({"play_ms": -1}, "play_ms"),
        ({"play_ms": 46}, "play_ms"),
    ],
)
def test_a_watch_that_cannot_be_is_refused_with_a_reason(change, reason):
    event = msgspec.structs.replace(example(E.Watch), **change)
    assert reason in E.check([event], NOW_MS)[0]
    with pytest.raises(InputError, match=reason):
        E.require(event, NOW_MS)


def test_a_watch_of_five_lengths_ten_minutes_ahead_is_the_last_that_is_accepted():
    event = msgspec.structs.replace(example(E.Watch), play_ms=45, time_ms=NOW_MS + 600_000)
    assert E.check([event], NOW_MS) == [""]


def test_an_author_id_that_is_too_long_is_refused():
    event = E.Block(event_id="e", viewer_id="v", time_ms=1, author_id=LONG)
    assert "author_id" in E.check([event], NOW_MS)[0]
