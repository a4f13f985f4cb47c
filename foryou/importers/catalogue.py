"""Videos and users beside a log: who they are, and what had to be made up because the source does not say."""

from collections.abc import Iterable, Sequence
from typing import Any, Final

import numpy as np
import pyarrow as pa

from core.catalogue import ViewerRecord
from core.events import VideoPublished
from core.ports import Tables
from foryou.importers.cells import cell_column, flags, milliseconds, texts
from foryou.importers.ids import own_id
from foryou.importers.mapping import Columns
from foryou.importers.rows import EARLIEST_MS, Reasons
from foryou.importers.stream import Built

MADE_UP: Final = "made-up:"
_VIDEO_TEXTS: Final = (
    "topic", "language", "region", "title", "description", "music_id", "thumbnail_cluster", "visibility",
)  # fmt: skip
_USER_TEXTS: Final = ("username", "display_name", "avatar_url", "region", "language", "device", "age_band")


class Catalogue:
    """Author and length of every video that an import has met."""

    def __init__(self) -> None:
        self.authors: dict[str, str] = {}
        self.lengths: dict[str, int] = {}

    def add(self, video: VideoPublished) -> None:
        """Remember the video."""
        self.authors[video.video_id] = video.author_id
        self.lengths[video.video_id] = video.length_ms


class VideoBuild:
    """Makes a VideoPublished of each row of a file of videos."""

    remember = True

    def __init__(self, source: str, columns: Columns, utc_offset_h: float, catalogue: Catalogue) -> None:
        self._source, self._columns, self._zone, self._catalogue = source, columns, utc_offset_h, catalogue
        self._width = -1

    async def build(self, batch: Any) -> Built:
        """The videos; rows without an id or a length are rejected."""
        reasons = Reasons(batch.num_rows)
        ids = _ids(batch, self._columns, "video_id", reasons)
        length = milliseconds(self._cells(batch, "length_ms"), self._unit("length_ms"))
        reasons.check(length, "length_ms", needed=True)
        reasons.reject(length.values <= 0, "length_ms is not above zero")
        upload = milliseconds(self._cells(batch, "upload_ms"), self._unit("upload_ms"), self._zone)
        reasons.check(upload, "upload_ms", needed=False)
        reasons.reject(~upload.missing & (upload.values < EARLIEST_MS), "upload_ms is before 2005")
        vectors = self._vectors(batch, reasons)
        authors, _ = texts(self._cells(batch, "author_id"))
        words = {name: texts(self._cells(batch, name))[0] for name in _VIDEO_TEXTS if name in self._columns}
        tags = _lists(self._cells(batch, "hashtags"))
        videos = [
            self._video(
                ids[row],
                authors[row],
                int(length.values[row]),
                int(upload.values[row]),
                tags[row],
                vectors[row],
                {name: column[row] for name, column in words.items() if column[row]},
            )
            for row in np.flatnonzero(reasons.good).tolist()
        ]
        for video in videos:
            self._catalogue.add(video)
        return Built(list(videos), rejected=rejected(reasons))

    def _cells(self, batch: Any, name: str) -> Any:
        return cell_column(batch, self._columns.get(name))

    def _unit(self, name: str) -> str:
        origin = self._columns.get(name)
        return "ms" if origin is None else origin.unit

    def _video(
        self,
        video_id: str,
        author: str,
        length_ms: int,
        upload_ms: int,
        tags: tuple[str, ...],
        vector: tuple[float, ...],
        words: dict[str, Any],
    ) -> VideoPublished:
        author = author or author_of(video_id)
        time_ms = upload_ms or EARLIEST_MS
        words.setdefault("title", f"Video {video_id}")
        return VideoPublished(
            event_id=own_id(self._source, "video_published", video_id), viewer_id=author, time_ms=time_ms,
            ingested_ms=time_ms, video_id=video_id, author_id=author, length_ms=length_ms, upload_ms=time_ms,
            hashtags=tags, content_embedding=vector, **words,
        )  # fmt: skip

    def _vectors(self, batch: Any, reasons: Reasons) -> list[tuple[float, ...]]:
        """Embeddings; the first one of the file gives the width of all."""
        cells = self._cells(batch, "content_embedding").to_pylist()
        vectors: list[tuple[float, ...]] = []
        wrong = np.zeros(len(cells), np.bool_)
        for row, cell in enumerate(cells):
            try:
                vector = np.asarray(() if cell is None else cell, np.float64)
                right = vector.ndim == 1 and bool(np.isfinite(vector).all())
            except (TypeError, ValueError):
                right, vector = False, np.zeros(0)
            if right and len(vector) and self._width < 0:
                self._width = len(vector)
            wrong[row] = not right or len(vector) not in (0, self._width)
            vectors.append(tuple(vector.tolist()))
        reasons.reject(wrong, "content_embedding is not a list of numbers as long as the first")
        return vectors


class UserBuild:
    """Puts each row of a file of users into the tables."""

    remember = True

    def __init__(
        self,
        tables: Tables,
        columns: Columns,
        traits: Sequence[str] = (),
        assumed: Sequence[str] = (),
        utc_offset_h: float = 0.0,
    ) -> None:
        self._tables, self._columns, self._traits = tables, columns, tuple(traits)
        self._assumed, self._zone = tuple(assumed), utc_offset_h
        self.ids: set[str] = set()

    async def build(self, batch: Any) -> Built:
        """No events; the users are in the tables when it returns."""
        reasons = Reasons(batch.num_rows)
        ids = _ids(batch, self._columns, "user_id", reasons)
        origin = self._columns.get("signup_ms")
        signup = milliseconds(cell_column(batch, origin), origin.unit if origin else "ms", self._zone)
        reasons.check(signup, "signup_ms", needed=False)
        verified = flags(cell_column(batch, self._columns.get("verified")))
        words = {name: texts(cell_column(batch, self._columns.get(name)))[0] for name in _USER_TEXTS}
        topics = _lists(cell_column(batch, self._columns.get("chosen_topics")))
        traits = self._trait_lists(batch)
        users = [
            named(
                ViewerRecord(
                    user_id=ids[row],
                    verified=bool(verified.values[row]),
                    signup_ms=int(signup.values[row]),
                    chosen_topics=topics[row],
                    traits=traits[row],
                    made_up=self._assumed,
                    **{name: column[row] for name, column in words.items()},
                )
            )
            for row in np.flatnonzero(reasons.good).tolist()
        ]
        await self._tables.put_users(users)
        self.ids.update(user.user_id for user in users)
        return Built([], rejected=rejected(reasons))

    def _trait_lists(self, batch: Any) -> list[tuple[str, ...]]:
        """name=value of each trait that the row has; a list gives one for each of its values."""
        rows: list[list[str]] = [[] for _ in range(batch.num_rows)]
        for name in self._traits:
            column = batch.column(name)
            listed = pa.types.is_nested(column.type)
            values = _lists(column) if listed else [_words([word]) for word in texts(column)[0]]
            for row, words in enumerate(values):
                rows[row] += [f"{name}={word}" for word in words]
        return [tuple(row) for row in rows]


def named(user: ViewerRecord) -> ViewerRecord:
    """The user with names and a picture, made up where the source has none."""
    made = {
        "username": f"user_{user.user_id}",
        "display_name": f"User {user.user_id}",
        "avatar_url": f"/media/avatars/{user.user_id}.png",
    }
    missing = [name for name in made if not getattr(user, name)]
    values: dict[str, Any] = {name: getattr(user, name) for name in user.__struct_fields__}
    values.update({name: made[name] for name in missing})
    values["made_up"] = (*missing, *user.made_up)
    return ViewerRecord(**values)


def author_of(video_id: str) -> str:
    """The author made up for a video whose source names none: one for each video, so that none looks prolific."""
    return f"author-of-{video_id}"


def made_up_video(source: str, video_id: str, author: str, length_ms: int, time_ms: int) -> VideoPublished:
    """A video known from a row of a log only; its event id starts with "made-up:"."""
    author = author or author_of(video_id)
    return VideoPublished(
        event_id=MADE_UP + own_id(source, "video_published", video_id),
        viewer_id=author,
        time_ms=time_ms,
        ingested_ms=time_ms,
        video_id=video_id,
        author_id=author,
        length_ms=length_ms,
        upload_ms=time_ms,
        title=f"Video {video_id}",
    )


def rejected(reasons: Reasons) -> list[tuple[int, str]]:
    """(row, reason) of each row that has one."""
    rows = np.flatnonzero(reasons.codes)
    return [(int(row), reasons.words[reasons.codes[row]]) for row in rows]


def _ids(batch: Any, columns: Columns, name: str, reasons: Reasons) -> list[str]:
    ids, wrong = texts(cell_column(batch, columns[name]))
    reasons.reject(np.array([not value for value in ids], np.bool_), f"{name} is missing")
    reasons.reject(wrong, f"{name} is too long or not text")
    return ids


def _lists(column: Any) -> list[tuple[str, ...]]:
    """Cells as lists of words: lists as they are, text cut at its commas, anything else as one word."""
    if pa.types.is_nested(column.type):
        return [tuple(map(str, cell or ())) for cell in column.to_pylist()]
    if pa.types.is_string(column.type):
        return [_words((cell or "").split(",")) for cell in column.to_pylist()]
    return [_words([word]) for word in texts(column)[0]]


def _words(words: Iterable[str]) -> tuple[str, ...]:
    return tuple(word.strip() for word in words if word.strip())
