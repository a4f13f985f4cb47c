"""The KuaiRand-Pure slice: videos, users, histories without times, and impressions with times.

A file's `date` column and its `time_ms` disagree in some rows (the date is that of the request, late in an hour).
`time_ms` is used everywhere; where a day is needed, `day_of` cuts it at midnight in China (UTC+8), or as told.
"""

from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import TypeAdapter

from core.arrays import Int64
from foryou.importers.catalogue import Catalogue, UserBuild, VideoBuild
from foryou.importers.history import HistoryBuild
from foryou.importers.job import Job
from foryou.importers.log_build import LogBuild
from foryou.importers.mapping import Columns, Mapping
from foryou.importers.report import ImportReport, ImportStores, OnProgress, silent
from foryou.importers.stream import Built
from foryou.importers.world import require_files

SOURCE: Final = "kuairand"
CHINA_UTC_OFFSET_H: Final = 8.0
FILES: Final = (
    "users.parquet",
    "videos.parquet",
    "histories_0408_0424.parquet",
    "impressions_0425_0430.parquet",
)
TRAITS: Final = (
    "user_active_degree",
    "is_live_streamer",
    "is_video_author",
    "follow_user_num_range",
    "fans_user_num_range",
    "friend_user_num_range",
    "register_days_range",
    *(f"onehot_feat{number}" for number in range(18)),
)
_HISTORY_CHUNK: Final = 400  # viewers; each has up to 50 watches
_HOUR_MS: Final = 3_600_000
_DAY_MS: Final = 24 * _HOUR_MS
# What a video is taken to last whose length the source does not say (0 or empty).
ASSUMED_LENGTH_MS: Final = 60_000
# The first day of the histories and the last of the impressions, midnight UTC.
_FIRST_DAY_MS: Final = 1_649_376_000_000
_LAST_DAY_MS: Final = 1_651_276_800_000

_COLUMNS: TypeAdapter[Columns] = TypeAdapter(Columns)
_IMPRESSIONS: Final = {
    "viewer_id": "user_id",
    "video_id": "video_id",
    "time_ms": "time_ms",
    "play_ms": "play_time_ms",
    "length_ms": "duration_ms",
    "long_view": "long_view",
    "click": "is_click",
    "like": "is_like",
    "comment": "is_comment",
    "share": "is_forward",
    "follow": "is_follow",
    "not_interested": "is_hate",
    "surface": "tab",
}
# Read so that a row counts as an exact duplicate only when nothing in it differs.
_BESIDE: Final = (
    "date", "hourmin", "profile_stay_time", "comment_stay_time", "is_profile_enter", "is_rand",
)  # fmt: skip
_VIDEOS: Final = {
    "video_id": "video_id",
    "author_id": "author_id",
    "length_ms": "video_duration",
    "upload_ms": {"column": "upload_dt", "unit": "iso8601"},
    "topic": "first_tag",
    "hashtags": "tag",
    "music_id": "music_id",
}
_USERS: Final = {"user_id": "user_id", "signup_ms": "signup_ms"}


async def import_kuairand(
    path: Path,
    stores: ImportStores,
    progress: OnProgress = silent,
    utc_offset_h: float = CHINA_UTC_OFFSET_H,
    assumed_length_ms: int = ASSUMED_LENGTH_MS,
) -> ImportReport:
    """Put the slice in the folder `path` on the log, and its users into the tables.

    `utc_offset_h` is where a day begins: it dates uploads and counts the rows whose own date differs. A video without
    a length is kept with `assumed_length_ms`, and rejected with its rows where that is 0.
    Raises InputError for a missing folder, file or column.
    """
    require_files(path, FILES)
    job, catalogue = Job(stores, SOURCE, progress), Catalogue()
    reading = f"{utc_offset_h} {assumed_length_ms}"
    users = _Users(UserBuild(stores.tables, _COLUMNS.validate_python(_USERS), TRAITS, ("signup_ms",)))
    await job.file(path / FILES[0], users, ("user_id", "register_days", *TRAITS))
    video_columns = _COLUMNS.validate_python(_VIDEOS)
    videos = _Videos(VideoBuild(SOURCE, video_columns, utc_offset_h, catalogue), assumed_length_ms)
    await job.file(path / FILES[1], videos, (*_SOURCE_VIDEO_COLUMNS,), reading)
    history = HistoryBuild(SOURCE, catalogue.lengths, _FIRST_DAY_MS - int(utc_offset_h * _HOUR_MS))
    await job.file(path / FILES[2], history, HistoryBuild.columns, reading, chunk_rows=_HISTORY_CHUNK)
    mapping = Mapping(name=SOURCE, columns=_COLUMNS.validate_python(_IMPRESSIONS))
    log = LogBuild(SOURCE, mapping, catalogue, stores.tables, stores.clock())
    columns = (*_IMPRESSIONS.values(), *_BESIDE)
    await job.log(path / FILES[3], _Impressions(log, utc_offset_h, assumed_length_ms), columns, reading)
    job.report.users, job.report.videos = len(users.ids), len(catalogue.authors)
    return job.finish()


_SOURCE_VIDEO_COLUMNS: Final = ("video_id", "author_id", "upload_dt", "video_duration", "music_id", "tag")


def day_of(time_ms: Int64, utc_offset_h: float = CHINA_UTC_OFFSET_H) -> Int64:
    """The day of each time as a number such as 20220425, days beginning at midnight `utc_offset_h` ahead of UTC."""
    local = time_ms.astype(np.int64) + int(utc_offset_h * _HOUR_MS)
    days = (local // _DAY_MS).astype("datetime64[D]")
    months = days.astype("datetime64[M]")
    month = months.astype(np.int64)
    day = (days - months).astype(np.int64) + 1
    return np.asarray((1970 + month // 12) * 10_000 + (month % 12 + 1) * 100 + day, np.int64)


class _Users:
    """Users, with a sign-up time counted back from the last day (`register_days` does not say from when)."""

    remember = True

    def __init__(self, inner: UserBuild) -> None:
        self._inner = inner
        self.ids = inner.ids

    async def build(self, batch: Any) -> Built:
        """As UserBuild, with the column signup_ms."""
        signup = pc.subtract(_LAST_DAY_MS, pc.multiply(batch.column("register_days"), _DAY_MS))
        return await self._inner.build(batch.append_column("signup_ms", signup))


class _Videos:
    """Videos, whose topic is the first of their tags, and whose length is assumed where there is none."""

    remember = True

    def __init__(self, inner: VideoBuild, assumed_length_ms: int) -> None:
        self._inner, self._assumed_ms = inner, assumed_length_ms

    async def build(self, batch: Any) -> Built:
        """As VideoBuild, with the column first_tag."""
        first = [(tags or "").split(",")[0] for tags in batch.column("tag").to_pylist()]
        batch, assumed = _with_lengths(batch, "video_duration", self._assumed_ms)
        built = await self._inner.build(batch.append_column("first_tag", pa.array(first, pa.string())))
        if assumed:
            built.notes["videos of an assumed length"] = assumed
        return built


class _Impressions:
    """Impressions, counting the rows whose date is not the day of their time."""

    remember = False

    def __init__(self, inner: LogBuild, utc_offset_h: float, assumed_length_ms: int) -> None:
        self._inner, self._offset_h, self._assumed_ms = inner, utc_offset_h, assumed_length_ms

    async def build(self, batch: Any) -> Built:
        """As LogBuild."""
        batch, assumed = _with_lengths(batch, "duration_ms", self._assumed_ms)
        built = await self._inner.build(batch)
        if assumed:
            built.notes["impressions of an assumed length"] = assumed
        both = batch.filter(pc.and_(batch.column("time_ms").is_valid(), batch.column("date").is_valid()))
        days = day_of(np.array(both.column("time_ms"), np.int64), self._offset_h)
        differ = int((days != np.array(both.column("date"), np.int64)).sum())
        if differ:
            built.notes["dates that differ from time_ms"] = differ
        return built


def _with_lengths(batch: Any, column: str, assumed_ms: int) -> tuple[Any, int]:
    """The batch with `assumed_ms` where the column is empty or zero, and in how many rows (none where it is 0)."""
    if not assumed_ms:
        return batch, 0
    lengths = pc.cast(batch.column(column), pa.float64(), safe=False)
    unknown = pc.fill_null(pc.equal(pc.fill_null(pc.if_else(pc.is_nan(lengths), 0.0, lengths), 0.0), 0.0), True)
    filled = pc.if_else(unknown, float(assumed_ms), lengths)
    return batch.set_column(batch.schema.get_field_index(column), column, filled), int(pc.sum(unknown).as_py() or 0)
