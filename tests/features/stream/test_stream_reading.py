"""Messages of viewers' events: what the compiled pass reads is what the decoder and the columns of the log say."""

import random

import msgspec
import numpy as np
import pytest

from core.events import VIEWER_EVENTS, Block, Follow, Impression, Like, Report, VideoPublished, Watch, encode
from core.log import Entry
from core.ports import Record
from core.video_table import VideoTable, Vocabulary
from features.columns import columns_of
from features.stream.reading import DecodedEvents, parsed

LEFT_OUT = {"surface", "propensity"}  # where a video was shown, and how probably, is not counted
WHO = {"viewer_id": "u1", "time_ms": 5}


def catalogue():
    table = VideoTable()
    for n in range(20):
        table.publish(
            VideoPublished(
                event_id=f"p{n}", viewer_id="a", time_ms=1, video_id=f"v{n}", author_id=f"a{n % 3}", length_ms=1,
                upload_ms=1, region=f"r{n % 4}",
            )
        )  # fmt: skip
    return table


def entries_of(values):
    return [Entry("t", 0, 7 + 3 * n, "k", value, 1) for n, value in enumerate(values)]


def random_event(rng):
    kind = rng.choice(VIEWER_EVENTS)
    found = {
        "event_id": f"e{rng.randrange(10**6)}",
        "viewer_id": f"u{rng.randrange(9)}",
        "time_ms": rng.randrange(2**40),
    }
    choices = {
        "ingested_ms": rng.randrange(2**41), "viewer_region": f"r{rng.randrange(6)}",
        "catalogue_offset": rng.choice([1, 300]),
        "video_id": f"v{rng.randrange(25)}", "slate_id": "s" * rng.randrange(40), "author_id": f"a{rng.randrange(5)}",
        "position": rng.randrange(200), "surface": "following", "session_id": "x" * 300, "propensity": rng.random(),
        "play_ms": rng.choice([0, 1, 127, 128, 255, 256, 65_535, 65_536, 2**32, 2**61]),
        "length_ms": rng.randrange(1, 60_000), "long_view": rng.choice([None, True, False]),
        "click": rng.choice([None, True, False]), "reason": "spam",
    }  # fmt: skip
    for field in msgspec.structs.fields(kind):
        if field.name in choices and (field.required or rng.random() < 0.6):
            found[field.name] = choices[field.name]
    return kind(**found)


def test_whatever_viewers_do_is_read_as_the_log_s_columns_say():
    rng, table = random.Random(3), catalogue()
    events = [random_event(rng) for _ in range(3_000)]
    assert set(map(type, events)) == set(VIEWER_EVENTS)
    entries = entries_of([encode(event) for event in events])
    records = [Record(entry.offset, event) for entry, event in zip(entries, events, strict=True)]
    read, viewers = parsed(entries), {}
    due = columns_of(records, table, viewers, Vocabulary())
    columns, found = read.columns(table)
    assert found == list(viewers)
    for name in due.__slots__:
        if name not in LEFT_OUT:
            np.testing.assert_array_equal(getattr(columns, name), getattr(due, name), name)
            assert getattr(columns, name).dtype == getattr(due, name).dtype, name
    assert_alike(read, DecodedEvents(records))


def assert_alike(read, decoded):
    for name in ("offset", "stamp", "time_ms", "ingested_ms"):
        np.testing.assert_array_equal(getattr(read, name), getattr(decoded, name), name)
    assert read.hashes() == decoded.hashes()


def test_some_of_the_events_are_read_as_if_the_others_had_not_come():
    rng, table = random.Random(4), catalogue()
    events, kept = [random_event(rng) for _ in range(60)], np.array([0, 5, 7, 30, 59])
    entries = entries_of([encode(event) for event in events])
    columns, viewers = parsed(entries).take(kept).columns(table)
    due, names = parsed([entries[at] for at in kept]).columns(table)
    assert viewers == names
    np.testing.assert_array_equal(columns.viewer, due.viewer)
    np.testing.assert_array_equal(columns.author, due.author)


def test_letters_beyond_ascii_are_read_where_they_are_letters():
    foreign = Like(event_id="é", viewer_id="ü" * 100, time_ms=5, video_id="日本")
    events = [foreign, Like(event_id="b", video_id="v", **WHO)]
    read = parsed(entries_of([encode(event) for event in events]))
    assert read.columns(catalogue())[1] == ["ü" * 100, "u1"]
    assert parsed(entries_of([encode(foreign).replace("é".encode(), b"\xff\xfe")])) is None


LIKE = {"kind": "like", "event_id": "e", "viewer_id": "u", "time_ms": 5, "video_id": "v"}


@pytest.mark.parametrize(
    "value",
    [
        b"", b"\xc1", msgspec.msgpack.encode([1]), encode(Like(event_id="e", video_id="v", **WHO))[:-1],
        encode(Like(event_id="e", video_id="v", **WHO)) + b"\0", msgspec.msgpack.encode({**LIKE, "play_ms": 3}),
        msgspec.msgpack.encode({**LIKE, "other": 3}), msgspec.msgpack.encode({**LIKE, "time_ms": "5"}),
        msgspec.msgpack.encode({**LIKE, "time_ms": -5}), msgspec.msgpack.encode({**LIKE, "time_ms": 2**63}),
        msgspec.msgpack.encode({**LIKE, "schema": 2}), msgspec.msgpack.encode({**LIKE, "event_id": "e" * 129}),
        msgspec.msgpack.encode({**LIKE, "kind": "read"}), msgspec.msgpack.encode({**LIKE, "kind": "video_removed"}),
        msgspec.msgpack.encode({name: said for name, said in LIKE.items() if name != "kind"}),
        msgspec.msgpack.encode({name: said for name, said in LIKE.items() if name != "video_id"}),
        msgspec.msgpack.encode({**LIKE, "viewer_region": None}), msgspec.msgpack.encode({**LIKE, "slate_id": b"s"}),
        encode(Watch(event_id="e", video_id="v", play_ms=1, length_ms=2**31, **WHO)),
        encode(Impression(event_id="e", video_id="v", position=-1, **WHO)),
    ],
)  # fmt: skip
def test_what_is_not_sure_is_left_to_the_decoder(value):
    sound = [
        encode(event)
        for event in (Block(event_id="b", author_id="a", **WHO), Follow(event_id="f", author_id="a", **WHO))
    ]
    assert parsed(entries_of(sound)) is not None
    assert parsed(entries_of([sound[0], value, sound[1]])) is None


def test_any_cut_or_changed_message_is_read_as_the_decoder_reads_it_or_left_to_it():
    rng = random.Random(6)
    whole = encode(Report(event_id="e1", video_id="v3", reason="spam", ingested_ms=2**40, viewer_region="r1", **WHO))
    for _ in range(4_000):
        changed = bytearray(whole)
        for _ in range(rng.randrange(1, 3)):
            changed[rng.randrange(len(changed))] = rng.randrange(256)
        value = bytes(changed[: len(changed) if rng.random() < 0.8 else rng.randrange(len(changed))])
        read = parsed(entries_of([value]))
        if read is not None:
            assert_alike(read, DecodedEvents([Record(7, msgspec.msgpack.decode(value, type=Report | Like | Watch))]))
