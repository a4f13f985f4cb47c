"""The mapping of a log: which of its columns means what, in which unit."""

from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from core.errors import InputError, NotFound

Unit = Literal["ms", "s", "us", "iso8601"]

FLAGS = (
    "long_view",
    "click",
    "like",
    "comment",
    "share",
    "save",
    "follow",
    "not_interested",
    "hide_author",
    "report",
)
LOG_COLUMNS = (
    "event_id", "session_id", "viewer_id", "video_id", "author_id", "position", "surface", "time_ms",
    "watch_end_ms", "ingested_ms", "play_ms", "length_ms", *FLAGS, "propensity", "slate_id",
)  # fmt: skip
VIDEO_COLUMNS = (
    "video_id", "author_id", "length_ms", "upload_ms", "topic", "language", "region", "title", "description",
    "hashtags", "music_id", "thumbnail_cluster", "visibility", "content_embedding",
)  # fmt: skip
USER_COLUMNS = (
    "user_id", "username", "display_name", "avatar_url", "verified", "region", "language", "device", "age_band",
    "signup_ms", "chosen_topics",
)  # fmt: skip


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ColumnFrom(_Part):
    """Where a column comes from: a column of the file, or one constant for every row."""

    column: str | None = Field(None, description="column of the file")
    constant: str | int | float | bool | None = Field(None, description="the value of every row")
    unit: Unit = Field("ms", description="unit of a time or a duration in the file")

    @model_validator(mode="after")
    def _one_origin(self) -> "ColumnFrom":
        if (self.column is None) == (self.constant is None):
            raise ValueError("give either a column or a constant")
        return self


def _from_name(value: Any) -> Any:
    return {"column": value} if isinstance(value, str) else value


Columns = dict[str, Annotated[ColumnFrom, BeforeValidator(_from_name)]]


class Section(_Part):
    """A file of videos or of users beside the log."""

    file: str = Field(description="path, relative to the mapping")
    columns: Columns = Field(description="canonical column: column of the file")
    traits: tuple[str, ...] = Field((), description="columns of users kept as traits, each as name=value")


class Mapping(_Part):
    """How to read a log."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,39}$", description="part of every event id")
    columns: Columns = Field(description="canonical column: column of the file")
    utc_offset_h: float = Field(0.0, ge=-14, le=14, description="zone of ISO 8601 times that name none, hours")
    videos: Section | None = Field(None, description="the file of videos")
    users: Section | None = Field(None, description="the file of users")

    @model_validator(mode="after")
    def _known_columns(self) -> "Mapping":
        _check("columns", self.columns, LOG_COLUMNS, ("viewer_id", "video_id", "time_ms", "play_ms"))
        if self.videos is not None:
            _check("videos.columns", self.videos.columns, VIDEO_COLUMNS, ("video_id", "length_ms"))
        elif "length_ms" not in self.columns:
            raise ValueError("length_ms must be among columns, or a videos section must give it")
        if self.users is not None:
            _check("users.columns", self.users.columns, USER_COLUMNS, ("user_id",))
        return self


def _check(where: str, columns: Columns, known: tuple[str, ...], needed: tuple[str, ...]) -> None:
    for name in columns:
        if name not in known:
            raise ValueError(f"{where} has no place for '{name}'; use one of {', '.join(known)}")
    missing = [name for name in needed if name not in columns]
    if missing:
        raise ValueError(f"{where} must say where {' and '.join(missing)} comes from")


def read_mapping(path: Path) -> Mapping:
    """The mapping in a YAML file; InputError in one sentence where it cannot be used."""
    try:
        document = yaml.safe_load(path.read_text())
    except FileNotFoundError as error:
        raise NotFound(f"There is no mapping file {path}; docs/importing.md shows one.") from error
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"The mapping {path} cannot be read as YAML ({reason}).") from error
    if not isinstance(document, dict):
        raise InputError(f"The mapping {path} must be a YAML mapping; docs/importing.md shows one.")
    try:
        return Mapping.model_validate(document)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the mapping"
        what = first["msg"].removeprefix("Value error, ")
        raise InputError(f"The mapping {path} cannot be used: {where}: {what} (see docs/importing.md).") from error
