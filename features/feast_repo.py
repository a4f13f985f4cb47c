"""The Feast repository, generated: the packed layout becomes feature views, the declared features their documentation.

Imports Feast, which serving does not install; nothing on the path of a request imports this module.
"""

import warnings
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import yaml
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

from core.errors import CorruptData
from core.settings import Settings
from features.definitions import FEATURES, schema_hash
from features.feast_fields import CLOCK, ENTITIES, EntityRows, RawField
from features.feast_import import (
    Entity,
    FeatureService,
    FeatureStore,
    FeatureView,
    Field,
    FileSource,
    PushSource,
    ValueType,
)
from features.feast_import import types as T
from features.feast_offline import CREATED, EVENT_TIME, feast_folder, offline_path, write_offline
from features.packed import CHECKED_FROM, schema_number

PROJECT: Final = "foryou"
OWNER: Final = "foryou"
_REGISTRY: Final = "registry.db"
_SQLITE: Final = {"type": "backends.feast_online.PackedSqliteOnlineStore", "path": "../state.db"}

_TYPES: Final = {"|u1": T.Int32, "<i4": T.Int32, "<i8": T.Int64, "<f4": T.Float32, "<f8": T.Float64}

# What each use reads: parts of each entity's row, all of them where none is named.
_SERVICES: Final[dict[str, tuple[str, dict[str, tuple[str, ...]]]]] = {
    "ranking": (
        "the state behind every declared feature",
        {
            "viewer": (),
            "video": ("counts", "steps"),
            "author": ("counts", "steps"),
            "trend": ("counts", "steps"),
        },
    ),
    "retrieval": (
        "what the viewer tower and the history sources read",
        {"viewer": ("profile", "traits", "history_len", "history_video", "history_signal", "history_time_ms")},
    ),
    "display": ("lifetime totals, as the API shows them", {"video": ("totals",)}),
}


def definitions() -> list[Any]:
    """Every Feast object of the project: entities, sources, views and services."""
    views = {name: _view(rows) for name, rows in ENTITIES.items()}
    entities = [_entity(rows) for rows in ENTITIES.values()]
    sources = [view.stream_source for view in views.values()]
    services = [_service(name, views) for name in _SERVICES]
    return [*entities, *sources, *views.values(), *services]


def _entity(rows: EntityRows) -> Entity:
    return Entity(name=rows.name, join_keys=[rows.key], value_type=ValueType.STRING, description=rows.meaning)


def _view(rows: EntityRows) -> FeatureView:
    """One entity's raw state; the tags are what the online store unpacks it by."""
    batch = FileSource(
        name=f"{rows.name}_snapshots",
        path=offline_path(rows.name),
        timestamp_field=EVENT_TIME,
        created_timestamp_column=CREATED,
    )
    return FeatureView(
        name=rows.name,
        entities=[_entity(rows)],
        ttl=timedelta(0),
        schema=[Field(name=rows.key, dtype=T.String), *map(_field, rows.fields)],
        source=PushSource(name=f"{rows.name}_push", batch_source=batch),
        description=f"Raw feature state of {rows.meaning}; decay it when it is read.",
        tags=_view_tags(rows),
        owner=OWNER,
    )


def _view_tags(rows: EntityRows) -> dict[str, str]:
    return {
        "schema_hash": schema_hash(),
        "row_bytes": str(rows.dtype.itemsize),
        "schema_number": str(schema_number()),
        "checked_from": str(CHECKED_FROM),
        "clock_field": CLOCK,
    }


def _field(field: RawField) -> Field:
    base = _TYPES[field.format]
    tags = {"format": field.format, "offset": str(field.offset), "count": str(field.count)}
    return Field(name=field.name, dtype=T.Array(base) if field.is_list else base, description=field.meaning, tags=tags)


def _service(name: str, views: Mapping[str, FeatureView]) -> FeatureService:
    """The raw fields of one use; `ranking` lists every declared feature in its tags."""
    description, parts = _SERVICES[name]
    declared = {f"feature:{f.name}": f"{f.dtype}, default {f.default:g}, {f.owner}: {f.meaning}" for f in FEATURES}
    return FeatureService(
        name=name,
        features=[_part(views[entity], ENTITIES[entity], wanted) for entity, wanted in parts.items()],
        description=description,
        tags={"schema_hash": schema_hash()} | (declared if name == "ranking" else {}),
        owner=OWNER,
    )


def _part(view: FeatureView, rows: EntityRows, parts: tuple[str, ...]) -> FeatureView:
    chosen: FeatureView = view[[f.name for f in rows.fields if not parts or f.part in parts]]
    return chosen


def online_of(settings: Settings) -> dict[str, Any]:
    """Where the settings keep packed rows, as Feast is told; a URL with a password stays out of Feast's file."""
    if settings.backends == "embedded":
        return dict(_SQLITE)
    redis = {"type": "backends.feast_redis.PackedRedisOnlineStore"}
    if urlsplit(settings.redis).password is not None:
        return redis
    return redis | {"url": settings.redis, "prefix": settings.redis_prefix, "cluster": settings.redis_cluster}


def open_feast(home: Path, online: Mapping[str, Any] | None = None) -> FeatureStore:
    """Feast over a home, with its rows where `online` says, else as before, else in the home's SQLite file.

    Its configuration is written where it changes. CorruptData for a damaged registry or configuration.
    """
    folder = feast_folder(home)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "feature_store.yaml"
    text = yaml.safe_dump(_config(online or _online_before(path)), sort_keys=False)
    if not path.exists() or path.read_text() != text:
        path.write_text(text)
    try:
        store = FeatureStore(repo_path=str(folder))
        store.registry.refresh(PROJECT)
    except DecodeError as error:
        raise CorruptData(
            f"The Feast registry {folder / _REGISTRY} is damaged; delete it, and `foryou train` writes it again."
        ) from error
    return store


def _online_before(path: Path) -> Mapping[str, Any]:
    if not path.exists():
        return _SQLITE
    try:
        found: Mapping[str, Any] = yaml.safe_load(path.read_text())["online_store"]
    except (yaml.YAMLError, KeyError, TypeError) as error:
        raise CorruptData(f"Feast's configuration {path} is damaged; delete it and it is written again.") from error
    return found


def _config(online: Mapping[str, Any]) -> dict[str, Any]:
    """Relative paths, so that a home can be moved."""
    return {
        "project": PROJECT,
        "provider": "local",
        "registry": _REGISTRY,
        "online_store": dict(online),
        "offline_store": {"type": "backends.feast_offline.SnapshotOfflineStore"},
        "entity_key_serialization_version": 3,
    }


def apply(home: Path, online: Mapping[str, Any] | None = None) -> FeatureStore:
    """Register the generated definitions under HOME/feast; again changes nothing. SchemaMismatch for foreign rows."""
    store = open_feast(home, online)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        store.apply(definitions())
    return store


def publish(
    home: Path,
    packed: Mapping[str, Mapping[str, bytes]],
    event_time_ms: int,
    created_ms: int,
    online: Mapping[str, Any] | None = None,
) -> None:
    """What the end of a training run tells Feast: the definitions, and the state as of `event_time_ms`."""
    apply(home, online)
    write_offline(home, packed, event_time_ms, created_ms)
