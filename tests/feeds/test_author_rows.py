"""The newest videos of any authors, against a sort of the whole catalogue."""

import random

import numpy as np

from core.events import VideoPublished, VideoRemoved, VideoUpdated
from core.video_table import PUBLIC, VideoTable
from feeds.author_rows import AuthorRows, author_codes


def publish(video, author, upload_ms, **fields):
    return VideoPublished(
        event_id=f"e{video}", viewer_id=author, time_ms=1, video_id=video, author_id=author, length_ms=1_000,
        upload_ms=upload_ms, **fields,
    )  # fmt: skip


def brute_force(table, codes, limit, below=None):
    rows = [row for row in range(len(table)) if table.author[row] in codes and table.visibility[row] == PUBLIC]
    places = sorted(((int(table.upload_ms[row]), table.video_ids[row]) for row in rows), reverse=True)
    return [video for place in places if below is None or place < below for video in [place[1]]][:limit]


def found(rows, table, codes, limit, below=None):
    return [table.video_ids[row] for row in rows.newest(np.asarray(codes, np.int32), limit, below)]


def test_it_equals_a_sort_of_everything_while_the_catalogue_changes():
    rng, table = random.Random(1), VideoTable()
    for number in range(900):
        table.publish(publish(f"v{number}", f"a{rng.randrange(6)}", 1_000 + rng.randrange(250)))
    rows = AuthorRows(table)
    for number in range(300):
        old = f"v{rng.randrange(len(table))}"
        step = rng.randrange(6)
        if step == 0:
            table.remove(VideoRemoved(event_id="r", viewer_id="a", time_ms=1, video_id=old))
        elif step == 1:
            word = rng.choice(["private", "public", "friends"])
            table.update(VideoUpdated(event_id="u", viewer_id="a", time_ms=1, video_id=old, visibility=word))
        elif step == 2:
            table.publish(publish(old, f"a{rng.randrange(8)}", 1_000 + rng.randrange(300)))
        else:
            table.publish(publish(f"w{number}", f"a{rng.randrange(8)}", 1_100 + rng.randrange(300)))
        codes = [table.authors.code(f"a{author}") for author in rng.sample(range(8), rng.randrange(5))]
        codes, limit = [code for code in codes if code], rng.choice([1, 3, 20])
        below = None if rng.random() < 0.5 else (1_000 + rng.randrange(300), f"v{rng.randrange(900)}")
        assert found(rows, table, codes, limit, below) == brute_force(table, codes, limit, below)


def test_an_author_of_many_hidden_videos_is_looked_at_further_down():
    table = VideoTable()
    for number in range(500):
        word = "public" if number < 3 else "private"
        table.publish(publish(f"v{number}", "deep", 1_000 + number, visibility=word))
    table.publish(publish("w", "shallow", 999))
    codes = author_codes(table, ["deep", "shallow", "nobody"])
    assert found(AuthorRows(table), table, codes, 4) == ["v2", "v1", "v0", "w"]
