"""The columnar catalogue: rows are given once and never move, and what was removed stays removed."""

import numpy as np
import pytest

from core.events import VideoPublished, VideoRemoved, VideoUpdated
from core.video_table import BLOCKED, PRIVATE, PUBLIC, REMOVED, VideoTable, Vocabulary


def published(video_id, **fields):
    facts = {"author_id": "bo", "length_ms": 9_000, "upload_ms": 5, **fields}
    return VideoPublished(event_id=f"p{video_id}", viewer_id="bo", time_ms=1, video_id=video_id, **facts)


def updated(video_id, **fields):
    return VideoUpdated(event_id="u", viewer_id="bo", time_ms=2, video_id=video_id, **fields)


def removed(video_id):
    return VideoRemoved(event_id="r", viewer_id="bo", time_ms=3, video_id=video_id)


def test_rows_stand_still_while_the_table_grows():
    table = VideoTable(capacity=2)
    for number in range(3_000):
        row = table.publish(
            published(
                f"v{number}",
                author_id=f"a{number % 7}",
                length_ms=number,
                content_embedding=(float(number), 1.0) if number % 3 == 0 else (),
            )
        )
        assert row == number
    assert len(table) == len(table.author) == len(table.embedding) == 3_000
    assert table.length_ms.tolist() == list(range(3_000))
    assert [table.authors.words[code] for code in table.author[:8]] == [f"a{n % 7}" for n in range(8)]
    assert table.embedding[:, 0].tolist() == [n if n % 3 == 0 else 0 for n in range(3_000)]
    assert table.rows(["v2999", "nobody", "v0"]).tolist() == [2999, -1, 0]


def test_publishing_again_overwrites_in_place():
    table = VideoTable()
    table.publish(published("a", topic="cats"))
    table.publish(published("b"))
    assert table.publish(published("a", topic="dogs", length_ms=1)) == 0
    assert len(table) == 2 and table.topics.words[table.topic[0]] == "dogs" and table.length_ms[0] == 1


def test_a_removed_video_never_comes_back():
    table = VideoTable()
    table.publish(published("a"))
    assert table.remove(removed("a")) == 0
    table.update(updated("a", visibility="public"))
    assert table.visibility[0] == REMOVED
    table.publish(published("a"))
    assert table.visibility[0] == REMOVED


def test_what_moderators_block_is_hidden_there_and_from_those_whose_region_is_not_known():
    table = VideoTable()
    for video_id in ("a", "b", "c"):
        table.publish(published(video_id))
    table.update(updated("a", blocked_regions=("DE", "FR")))
    table.update(updated("b", blocked_regions=("*",)))
    rows = table.rows(["c", "b", "a"])
    assert table.visibility_in(rows, "DE").tolist() == [PUBLIC, BLOCKED, BLOCKED]
    assert table.visibility_in(rows, "IT").tolist() == [PUBLIC, BLOCKED, PUBLIC]
    assert table.visibility_in(rows, "").tolist() == [PUBLIC, BLOCKED, BLOCKED]
    table.publish(published("b"))  # neither its author's publication nor their word on it lifts a block
    table.update(updated("b", visibility="public"))
    table.update(updated("a", visibility="private"))
    assert table.visibility_in(rows, "IT").tolist() == [PUBLIC, BLOCKED, PRIVATE]
    table.update(updated("b", blocked_regions=()))
    assert table.visibility_in(rows, "IT").tolist() == [PUBLIC, PUBLIC, PRIVATE] and table.visibility[2] == PUBLIC


def test_an_update_changes_only_what_it_names():
    table = VideoTable()
    table.publish(published("a", topic="cats", content_embedding=(1.0, 2.0)))
    table.update(updated("a", visibility="private"))
    assert (table.visibility[0], table.topics.words[table.topic[0]]) == (PRIVATE, "cats")
    table.update(updated("a", topic="dogs", content_embedding=(3.0, 4.0)))
    assert table.topics.words[table.topic[0]] == "dogs" and table.embedding[0].tolist() == [3.0, 4.0]


def test_what_is_unknown_has_row_minus_one():
    table = VideoTable()
    assert (table.row("x"), table.update(updated("x")), table.remove(removed("x"))) == (-1, -1, -1)


def test_an_unknown_visibility_is_private():
    table = VideoTable()
    table.publish(published("a", visibility="whatever"))
    assert table.visibility[0] == PRIVATE


@pytest.mark.parametrize(
    ("vector", "kept"), [((5.0,), [5, 0, 0]), ((5.0, 6.0), [5, 6, 0]), ((1.0, 2.0, 3.0, 4.0), [1, 2, 3])]
)
def test_an_embedding_of_another_width_is_cut_or_filled_with_zeros(vector, kept):
    table = VideoTable()
    table.publish(published("a", content_embedding=(9.0, 9.0, 9.0)))
    table.publish(published("a", content_embedding=vector))
    assert table.embedding[0].tolist() == kept


def test_a_length_beyond_int32_is_capped():
    table = VideoTable()
    table.publish(published("a", length_ms=2**40))
    assert table.length_ms[0] == 2**31 - 1


def test_adding_many_at_once_is_the_same_as_one_after_the_other():
    rng, one, many = np.random.default_rng(0), VideoTable(2), VideoTable(2)
    events = [
        published(
            f"v{n}", author_id=f"a{rng.integers(5)}", topic=f"t{rng.integers(3)}", region="r", length_ms=n + 1,
            upload_ms=n, visibility=("public", "friends")[n % 2], content_embedding=(float(n), 0.5),
        )
        for n in range(40)
    ]  # fmt: skip
    for event in events:
        one.publish(event)
    fields = {"author": "author_id", "cluster": "thumbnail_cluster"}
    words = {
        name: [getattr(e, fields.get(name, name)) for e in events]
        for name in ("author", "topic", "language", "region", "cluster")
    }
    many.extend(
        [e.video_id for e in events], words, np.array([e.length_ms for e in events]),
        np.array([e.upload_ms for e in events]), [e.visibility for e in events],
        np.array([e.content_embedding for e in events], np.float32),
    )  # fmt: skip
    for name in (
        "author",
        "topic",
        "language",
        "region",
        "cluster",
        "length_ms",
        "upload_ms",
        "visibility",
        "embedding",
    ):
        assert np.array_equal(getattr(one, name), getattr(many, name)), name
    assert one.video_ids == many.video_ids and one.visibility[0] == PUBLIC


def test_a_vocabulary_gives_codes_by_first_sight_and_zero_to_the_unknown():
    words = Vocabulary(["b", "a", "b"])
    assert (words.code("b"), words.code("a"), words.code("c"), words.code("")) == (1, 2, 0, 0)
    assert words.codes(["a", "c", "b"]).tolist() == [2, 0, 1] and len(words) == 3
    assert words.add("c") == 3 and words.words == ["", "b", "a", "c"]
