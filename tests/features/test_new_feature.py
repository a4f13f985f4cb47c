"""A feature that is declared today has its rows, after a backfill of the archive, as if it had always been there."""

import asyncio
import json
import shutil
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import msgspec
import pytest

from backends.blob_folder import FolderBlobStore
from core.events import Watch, encode
from core.topics import CATALOGUE, USER_INTERACTION
from features.archive.pieces import ArchiveConfig
from features.archive.writer import Archiver
from features.definitions import NAMES, schema_hash
from features.layout import DAY_MS, STEPS
from features.stream.messages import CatalogueEntry, encode_entry
from tests.features.toy_messages import ToyLog
from tests.features.worldlet import catalogue, history, publications

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("backends", "candidate_gen", "core", "features", "feeds", "foryou")
DECLARED = "FEATURES: tuple[Feature, ...] = (*_counters(), *_viewer(), *_session(), *_context()"
NAME, PRIOR, STRENGTH = "author_completions_rate_30d", 0.2, 20
LINE = f', Feature("{NAME}", "author", "completions per watch", _rate("author", "completions", "30d", {STRENGTH}))'
DAYS = 40

# What an operator's `foryou features backfill --write-online` runs, then what serving reads of its rows.
BACKFILL = """
import asyncio, json, sys
from pathlib import Path
import numpy as np
from backends.blob_folder import FolderBlobStore
from backends.sqlite.database import Database
from backends.sqlite.feature_store import SqliteFeatureStore
from core.query import Query
from core.topics import CATALOGUE
from core.video_table import Vocabulary
from features.backfill.catalogue import read_catalogue
from features.backfill.run import run_here
from features.backfill.tasks import Sources
from features.definitions import NAMES, schema_hash
from features.feast_repo import apply
from features.online import OnlineFeatures
from features.state import FeatureState

async def main(blobs, home, now_ms):
    async def opened():
        online = SqliteFeatureStore(Database(home / "online.db", durable=False), schema_hash())
        return Sources(FolderBlobStore(blobs), None, online)
    await run_here(opened, home, now_ms * 1000, [now_ms], online=True)
    service = apply(home).get_feature_service("ranking")
    sources = await opened()
    table = (await read_catalogue(sources.log(CATALOGUE))).past.table
    state, rows = FeatureState(table), np.arange(len(table), dtype=np.int32)
    for author in range(1, len(table.authors)):
        [raw] = await sources.features.read("author", [table.authors.words[author]])
        state.authors.unpack(author, raw)
    query = Query(viewer_id="u0", surface="for_you", session_id="", now_ms=now_ms, page=0, limit=20, seed=0,
                  viewer_state=state.new_viewer(None))
    matrix = OnlineFeatures(state, Vocabulary(["for_you"]), 1).matrix(query, rows)
    return {"names": NAMES, "schema": schema_hash(), "tags": sorted(service.tags),
            "videos": list(table.video_ids), "matrix": matrix.astype(float).tolist()}

print(json.dumps(asyncio.run(main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])))))
"""


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """The product as it is, but for one line of its declarations."""
    folder = tmp_path_factory.mktemp("declared")
    for package in PACKAGES:
        shutil.copytree(ROOT / package, folder / package)  # with what numba has compiled
    declarations = folder / "features" / "definitions.py"
    text = declarations.read_text()
    assert text.count(DECLARED) == 1
    declarations.write_text(text.replace(DECLARED, DECLARED + LINE))
    return folder


@pytest.fixture(scope="module")
def archived(tmp_path_factory):
    """(the folder of an archive without a broker behind it, the events in it, a moment after all of them)"""
    folder, table = tmp_path_factory.mktemp("archive"), catalogue()
    events = [msgspec.structs.replace(r.event, catalogue_offset=len(table)) for r in history(table, 300)]
    now_ms = max(event.time_ms for event in events) // DAY_MS * DAY_MS + DAYS * DAY_MS
    asyncio.run(_archive(folder, events))
    return folder, events, now_ms


async def _archive(folder, events):
    log = ToyLog()
    log.now = events[0].time_ms
    for number, event in enumerate(publications(), 1):
        entry = CatalogueEntry(
            source_partition=0, source_offset=number, event=encode(event), previous_offset=number - 1
        )
        log.put(CATALOGUE, 0, event.video_id, encode_entry(entry))
    for event in events:
        log.now = max(log.now, event.time_ms)
        log.put(USER_INTERACTION, int(event.viewer_id[1:]) % 2, event.viewer_id, encode(event))
    worker = Archiver(
        log,
        FolderBlobStore(folder),
        lambda: log.now,
        ArchiveConfig(most_object_rows=200),
        (CATALOGUE, USER_INTERACTION),
    )
    while await worker.step():
        pass
    await worker.close()


def recounted(events, now_ms):
    """Completions per watch of each author, decayed with a half-life of 30 days, one event after the other."""
    quantum = 30 * DAY_MS // STEPS
    watches, completions = defaultdict(float), defaultdict(float)
    for event in events:
        if isinstance(event, Watch):
            author = f"a{int(event.video_id[1:]) % 6}"
            weight = 2.0 ** (-(now_ms // quantum - event.time_ms // quantum) / STEPS)
            watches[author] += weight
            completions[author] += weight * (event.play_ms >= 0.95 * event.length_ms)
    return {a: (completions[a] + STRENGTH * PRIOR) / (watches[a] + STRENGTH) for a in watches}


@pytest.mark.slow
def test_one_line_declares_a_feature_and_a_backfill_gives_it_its_past(copy, archived, tmp_path):
    blobs, events, now_ms = archived
    told = subprocess.run(
        [sys.executable, "-c", BACKFILL, str(blobs), str(tmp_path), str(now_ms)],
        cwd=copy, capture_output=True, text=True, check=False, env={"PATH": "", "PYTHONPATH": str(copy)},
    )  # fmt: skip
    assert told.returncode == 0, told.stderr
    found = json.loads(told.stdout)
    assert found["names"] == [*NAMES, NAME] and found["schema"] != schema_hash()
    assert f"feature:{NAME}" in found["tags"]

    wanted = recounted(events, now_ms)
    assert len(wanted) == 6 and max(wanted.values()) - min(wanted.values()) > 0.02
    column = [row[-1] for row in found["matrix"]]
    for video_id, value in zip(found["videos"], column, strict=True):
        assert value == pytest.approx(wanted[f"a{int(video_id[1:]) % 6}"], rel=1e-3)

    snapshots = list((tmp_path / "feast" / "offline" / "author" / found["schema"]).glob("*.parquet"))
    assert len(snapshots) == 1  # of the one midnight that was asked for, under the new schema alone
    assert _differing(copy) == ["features/definitions.py"]


def _differing(copy):
    """The files of the copy that are not the product's."""
    return sorted(
        path.relative_to(copy).as_posix()
        for path in copy.rglob("*.py")
        if path.read_bytes() != (ROOT / path.relative_to(copy)).read_bytes()
    )
