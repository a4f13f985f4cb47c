"""Feast as this package imports it: after the metrics, and without the checks that it adds to its own methods."""

import prometheus_client  # noqa: F401 - first: Feast would switch the whole process to its own files of metrics
import typeguard


def _unchanged(target: object = None, **_: object) -> object:
    """What typeguard's decorator is under `python -O`."""
    return target if target is not None else _unchanged


# For each method of its classes Feast lets typeguard parse a whole module again: four of the import's six seconds.
_checking = typeguard.typechecked
typeguard.typechecked = _unchanged  # type: ignore[assignment]
try:
    from feast import Entity, FeatureService, FeatureStore, FeatureView, Field, FileSource, PushSource, ValueType, types
finally:
    typeguard.typechecked = _checking

__all__ = [
    "Entity", "FeatureService", "FeatureStore", "FeatureView", "Field", "FileSource", "PushSource", "ValueType",
    "types",
]  # fmt: skip
