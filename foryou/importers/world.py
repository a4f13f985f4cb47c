"""The log of a synthetic world: users, videos, follows and impressions as Parquet files in one folder."""

from pathlib import Path
from typing import Any, Final

import numpy as np
from pydantic import TypeAdapter

from core.errors import NotFound
from core.events import Event, Follow
from foryou.importers.catalogue import Catalogue, UserBuild, VideoBuild, rejected
from foryou.importers.cells import milliseconds, texts
from foryou.importers.ids import own_id
from foryou.importers.job import Job
from foryou.importers.log_build import LogBuild
from foryou.importers.mapping import USER_COLUMNS, VIDEO_COLUMNS, ColumnFrom, Columns, Mapping
from foryou.importers.report import ImportReport, ImportStores, OnProgress, silent
from foryou.importers.rows import Reasons
from foryou.importers.stream import Built

SOURCE: Final = "world"

_LOG: Final = (
    "event_id", "session_id", "viewer_id", "video_id", "position", "surface", "propensity", "time_ms", "watch_end_ms",
    "ingested_ms", "play_ms", "length_ms", "like", "comment", "share", "save", "follow", "not_interested",
    "hide_author", "report",
)  # fmt: skip
_VIDEO: Final = (
    "video_id", "author_id", "topic", "length_ms", "thumbnail_cluster", "language", "region", "upload_ms",
    "content_embedding",
)  # fmt: skip
_USER: Final = ("region", "language", "device", "age_band", "signup_ms", "chosen_topics")
FILES: Final = ("users.parquet", "videos.parquet", "follows.parquet", "impressions.parquet")
assert set(_VIDEO) <= set(VIDEO_COLUMNS) and set(_USER) <= set(USER_COLUMNS)


async def import_world(folder: Path, stores: ImportStores, progress: OnProgress = silent) -> ImportReport:
    """Put a world's history on the log and its users into the tables. Raises InputError for a file that is missing."""
    require_files(folder, FILES)
    job, catalogue = Job(stores, SOURCE, progress), Catalogue()
    user_columns = {"user_id": ColumnFrom(column="viewer_id"), **_same(_USER)}
    users = UserBuild(stores.tables, user_columns, traits=("languages",))
    await job.file(folder / "users.parquet", users, ("viewer_id", "languages", *_USER))
    videos = VideoBuild(SOURCE, _same(_VIDEO), 0.0, catalogue)
    await job.file(folder / "videos.parquet", videos, _VIDEO)
    await job.file(folder / "follows.parquet", _FollowBuild(), ("viewer_id", "author_id", "time_ms"), empty=True)
    mapping = Mapping(name=SOURCE, columns=_same(_LOG))
    log = LogBuild(SOURCE, mapping, catalogue, stores.tables, stores.clock())
    await job.log(folder / "impressions.parquet", log, _LOG)
    job.report.users, job.report.videos = len(users.ids), len(catalogue.authors)
    return job.finish()


def require_files(folder: Path, names: tuple[str, ...]) -> None:
    """NotFound where the folder or one of its files is missing."""
    if not folder.is_dir():
        raise NotFound(f"There is no folder {folder}; check the path.")
    for name in names:
        if not (folder / name).is_file():
            raise NotFound(f"The folder {folder} has no file {name}; an import needs {', '.join(names)}.")


def _same(names: tuple[str, ...]) -> Columns:
    """A mapping of columns that already have their canonical names."""
    columns = TypeAdapter(Columns).validate_python({name: name for name in names})
    return columns


class _FollowBuild:
    """Makes a Follow of each row of the follow graph."""

    remember = False

    async def build(self, batch: Any) -> Built:
        """The follows; rows without a viewer, an author or a time are rejected."""
        reasons = Reasons(batch.num_rows)
        words = {}
        for name in ("viewer_id", "author_id"):
            words[name], wrong = texts(batch.column(name))
            reasons.reject(wrong | np.array([not word for word in words[name]]), f"{name} is missing")
        times = milliseconds(batch.column("time_ms"), "ms")
        reasons.check(times, "time_ms", needed=True)
        events: list[Event] = []
        for row in np.flatnonzero(reasons.good).tolist():
            viewer, author, time_ms = words["viewer_id"][row], words["author_id"][row], int(times.values[row])
            event_id = own_id(SOURCE, "follow", viewer, author, str(time_ms))
            events.append(
                Follow(event_id=event_id, viewer_id=viewer, time_ms=time_ms, ingested_ms=time_ms, author_id=author)
            )
        return Built(events, rejected=rejected(reasons))
