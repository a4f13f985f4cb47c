"""Any log with its own names, units and ids is imported by a mapping."""

import asyncio
import json
import math
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from core.errors import InputError, NotFound
from core.events import Follow, Impression, VideoPublished, Watch, kind_of
from foryou.importers import import_events
from foryou.importers.cells import flags, milliseconds, numbers, texts
from tests.importers.made_logs import START_MS, events_in, open_stores

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
TEN_MS = 1_709_280_000_000  # 2024-03-01 08:00 UTC, which is 10:00 two hours ahead of UTC

PLAIN = {
    "name": "plain",
    "columns": {"viewer_id": "who", "video_id": "what", "time_ms": "when", "play_ms": "played", "length_ms": "long"},
}


def write_mapping(folder: Path, **changes: Any) -> Path:
    """The plain mapping with some changes."""
    path = folder / "mapping.yaml"
    path.write_text(yaml.safe_dump({**PLAIN, **changes}))
    return path


def plain_rows(count: int) -> list[dict[str, Any]]:
    """Good rows of the plain log."""
    return [
        {"who": f"u{n % 3}", "what": f"v{n % 4}", "when": START_MS + n, "played": 100 * n, "long": 5_000}
        for n in range(count)
    ]


def test_the_example_log_is_imported_as_its_mapping_says(tmp_path: Path) -> None:
    stores = open_stores(tmp_path)
    log, mapping = EXAMPLES / "clips_log.csv", EXAMPLES / "clips_mapping.yaml"
    report = asyncio.run(import_events(log, mapping, stores))
    events = events_in(stores)
    assert Counter(map(kind_of, events)) == Counter(impression=4, watch=4, like=1, share=1, follow=1, video_published=3)
    assert (report.rows, report.duplicates, report.exact_duplicates, report.clamped) == (8, 1, 1, 1)
    assert report.rejected == Counter(
        {
            "viewer_id is missing": 1,
            "time_ms is not a number": 1,
            "play_ms is negative": 1,
            "length_ms is not above zero": 1,
        }
    )
    assert report.notes == Counter({"videos made up": 1})
    assert (report.videos, report.users) == (3, 2)
    first = next(event for event in events if isinstance(event, Impression))
    assert (first.time_ms, first.viewer_id, first.video_id) == (TEN_MS, "ann@example", "clip:tea")
    watches = [event for event in events if isinstance(event, Watch)]
    assert [watch.play_ms for watch in watches] == [12_500, 4_000, 150_000, 3_000]
    (follow,) = (event for event in events if isinstance(event, Follow))
    assert (follow.author_id, follow.time_ms) == ("cy@example", TEN_MS + 12_501)


def test_a_video_that_only_the_log_knows_is_published_as_made_up(tmp_path: Path) -> None:
    stores = open_stores(tmp_path)
    asyncio.run(import_events(EXAMPLES / "clips_log.csv", EXAMPLES / "clips_mapping.yaml", stores))
    videos = {event.video_id: event for event in events_in(stores) if isinstance(event, VideoPublished)}
    assert videos["clip:new"].event_id.startswith("made-up:")
    assert videos["clip:new"].author_id == "author-of-clip:new"
    assert videos["clip:new"].length_ms == 15_000
    tea = videos["clip:tea"]
    assert (tea.topic, tea.hashtags, tea.title, tea.upload_ms) == (
        "drinks",
        ("tea", "slow"),
        "Tea, slowly",
        1_709_000_000_000,
    )
    assert not tea.event_id.startswith("made-up:")


def test_users_of_a_section_keep_traits_and_say_what_was_made_up(tmp_path: Path) -> None:
    stores = open_stores(tmp_path)
    asyncio.run(import_events(EXAMPLES / "clips_log.csv", EXAMPLES / "clips_mapping.yaml", stores))
    ann, bo = asyncio.run(stores.tables.users(["ann@example", "bo@example"]))
    assert ann is not None and bo is not None
    assert (ann.username, ann.region, ann.traits) == ("ann", "NL", ("plan=free",))
    assert ann.made_up == ("display_name", "avatar_url")
    assert (bo.username, bo.made_up) == ("user_bo@example", ("username", "display_name", "avatar_url"))


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl", ".parquet"])
def test_the_same_log_in_any_format_gives_the_same_events(tmp_path: Path, suffix: str) -> None:
    file, rows = tmp_path / f"log{suffix}", plain_rows(500)
    if suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), file)
    elif suffix == ".jsonl":
        file.write_text("\n".join(json.dumps(row) for row in rows))
    else:
        mark = "," if suffix == ".csv" else "\t"
        lines = [rows[0].keys(), *(map(str, row.values()) for row in rows)]
        file.write_text("\n".join(mark.join(line) for line in lines))
    stores = open_stores(tmp_path / "home")
    report = asyncio.run(import_events(file, write_mapping(tmp_path), stores))
    assert (report.rows, report.events, report.videos, report.users) == (500, 1_004, 4, 3)
    events = events_in(stores)
    assert [event.time_ms for event in events if isinstance(event, Impression)] == [row["when"] for row in rows]
    assert [event.play_ms for event in events if isinstance(event, Watch)] == [row["played"] for row in rows[:251]] + [
        25_000 if row["played"] > 25_000 else row["played"] for row in rows[251:]
    ]


def test_viewers_of_a_log_without_users_are_made_up_once(tmp_path: Path) -> None:
    file = tmp_path / "log.parquet"
    pq.write_table(pa.Table.from_pylist(plain_rows(30)), file)
    stores = open_stores(tmp_path / "home")
    mapping = write_mapping(tmp_path)
    report = asyncio.run(import_events(file, mapping, stores))
    assert report.notes == Counter({"videos made up": 4, "users made up": 3})
    (user,) = asyncio.run(stores.tables.users(["u1"]))
    assert user is not None and user.signup_ms == START_MS + 1
    assert user.made_up == ("username", "display_name", "avatar_url", "signup_ms")
    again = asyncio.run(import_events(file, mapping, stores))
    assert (again.events, again.known, again.notes) == (0, 30, report.notes)


def test_broken_lines_of_text_are_set_aside_under_their_line_number(tmp_path: Path) -> None:
    lines = ["who,what,when,played,long", *(f"u,v{n},{START_MS + n},1,10" for n in range(6))]
    lines[2] = "too,few"
    lines[4] = f"u,v,{START_MS},one,10"
    file = tmp_path / "log.csv"
    file.write_bytes("\n".join(lines).encode() + b"\n\xff\xfe,v,%d,1,10\n" % START_MS)
    stores = open_stores(tmp_path / "home")
    report = asyncio.run(import_events(file, write_mapping(tmp_path), stores))
    (path,) = report.reject_files
    entries = [json.loads(line) for line in path.read_text().splitlines()]
    assert [(entry["line"], entry["reason"]) for entry in entries] == [
        (3, "wrong number of columns"),
        (5, "play_ms is not a number"),
        (8, "viewer_id is too long or not text"),
    ]
    assert (report.rows, report.events) == (7, 4 * 3)


def test_broken_json_lines_are_set_aside_and_values_may_be_of_any_type(tmp_path: Path) -> None:
    rows = plain_rows(4)
    rows[1]["played"] = "250"
    rows[2]["who"] = 17
    texts_of = [json.dumps(row) for row in rows]
    file = tmp_path / "log.jsonl"
    file.write_text("\n".join([texts_of[0], "{not json", "[1]", "", *texts_of[1:]]))
    stores = open_stores(tmp_path / "home")
    report = asyncio.run(import_events(file, write_mapping(tmp_path), stores))
    assert report.rejected == Counter({"not a JSON object": 2})
    assert (report.rows, report.known) == (6, 0)
    viewers = [event.viewer_id for event in events_in(stores) if isinstance(event, Impression)]
    assert viewers == ["u0", "u1", "17", "u0"]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"name": "No Good"}, r"name: String should match"),
        ({"columns": {"viewer_id": "who"}}, r"columns must say where video_id and time_ms and play_ms comes from"),
        ({"columns": {**PLAIN["columns"], "liked": "x"}}, r"no place for 'liked'"),  # type: ignore[dict-item]
        ({"columns": {**PLAIN["columns"], "like": {"constant": 1, "column": "x"}}}, "either a column or a constant"),  # type: ignore[dict-item]
        ({"vidoes": {}}, r"vidoes: Extra inputs are not permitted"),
        ({"videos": {"file": "none.csv", "columns": {"video_id": "a", "length_ms": "b"}}}, r"no file .*none\.csv"),
        ({"columns": {**PLAIN["columns"], "like": "hearts"}}, r"log\.csv has no column 'hearts'"),  # type: ignore[dict-item]
    ],
)
def test_a_mapping_that_cannot_be_used_says_why(tmp_path: Path, changes: dict[str, Any], sentence: str) -> None:
    file = tmp_path / "log.csv"
    file.write_text("who,what,when,played,long\n")
    with pytest.raises(InputError, match=sentence):
        asyncio.run(import_events(file, write_mapping(tmp_path, **changes), open_stores(tmp_path / "home")))


def test_files_that_cannot_be_used_say_why(tmp_path: Path) -> None:
    stores, mapping = open_stores(tmp_path / "home"), write_mapping(tmp_path)
    for name, content, sentence in (
        ("empty.csv", "", "is empty"),
        ("header.csv", "who,what,when,played,long\n", "has no rows"),
        ("log.xlsx", "x", "must end in"),
    ):
        (tmp_path / name).write_text(content)
        with pytest.raises(InputError, match=sentence):
            asyncio.run(import_events(tmp_path / name, mapping, stores))
    with pytest.raises(NotFound, match="no file"):
        asyncio.run(import_events(tmp_path / "none.csv", mapping, stores))
    with pytest.raises(NotFound, match="no mapping file"):
        asyncio.run(import_events(tmp_path / "header.csv", tmp_path / "none.yaml", stores))
    mapping.write_text("{")
    with pytest.raises(InputError, match="cannot be read as YAML"):
        asyncio.run(import_events(tmp_path / "header.csv", mapping, stores))


def test_numbers_are_read_as_python_reads_them() -> None:
    cells = ["1", " 2.5", "-3e2", "+.5", "7.", "", None, "null", "x", "1,5", "0x10", "inf", "1_000"]
    found = numbers(pa.array(cells))
    for index, cell in enumerate(cells):
        empty = cell in ("", None, "null")
        try:
            value = float(cell or "x")
            right = math.isfinite(value) and "_" not in (cell or "")
        except ValueError:
            value, right = 0.0, False
        assert bool(found.missing[index]) == empty
        assert bool(found.wrong[index]) == (not empty and not right)
        assert found.values[index] == (value if right else 0.0)


def test_flags_times_and_ids_are_read_from_any_type() -> None:
    assert flags(pa.array(["true", "No", "1", "0", "3", None])).values.tolist() == [1, 0, 1, 0, 1, 0]
    assert flags(pa.array([True, False])).values.tolist() == [1, 0]
    assert flags(pa.array(["maybe"])).wrong.tolist() == [True]
    iso = milliseconds(pa.array(["2024-03-01T10:00:00.250+02:00", "2024-03-01 10:00", "soon", None]), "iso8601", 2.0)
    assert iso.values.tolist() == [TEN_MS + 250, TEN_MS, 0, 0]
    assert (iso.wrong.tolist(), iso.missing.tolist()) == ([False, False, True, False], [False, False, False, True])
    stamps = pa.array(np.array(["2024-03-01T08:00:00.5"], "datetime64[us]"))
    assert milliseconds(stamps, "ms").values.tolist() == [TEN_MS + 500]
    assert milliseconds(pa.array([1.5]), "s").values.tolist() == [1_500]
    assert texts(pa.array([1.0, 20.0]))[0] == ["1", "20"]
    assert texts(pa.array([" a ", None, "b\x00"]))[1].tolist() == [False, False, True]
    assert texts(pa.array([b"\xff".decode(errors="replace")]))[1].tolist() == [True]
