"""A file of training parameters: what it names is changed, everything else stays as it is by default."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from core.errors import InputError, NotFound
from training.config import TrainConfig


def changed(config: TrainConfig, changes: Mapping[str, Any]) -> TrainConfig:
    """The configuration with nested changes; InputError names a parameter that is unknown or out of its range."""
    unknown = _unknown(config.model_dump(), changes)
    if unknown:
        raise InputError(f"There is no training parameter {unknown}; `training/config.py` lists them.")
    try:
        return TrainConfig.model_validate(merged(config.model_dump(), changes))
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(map(str, first["loc"])) or "the whole"
        raise InputError(f"The training parameter {name} cannot be used: {first['msg']}.") from error


def read_changes(path: Path) -> dict[str, Any]:
    """The changes that a YAML file names; NotFound or InputError where it is none."""
    if not path.is_file():
        raise NotFound(f"There is no file {path} with training parameters.")
    try:
        changes = yaml.safe_load(path.read_text()) or {}
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is not YAML; write parameters as in `towers: {{dim: 32}}`.") from error
    if not isinstance(changes, dict):
        raise InputError(f"{path} holds no parameters; write them as in `towers: {{dim: 32}}`.")
    return changes


def write_changes(path: Path, changes: Mapping[str, Any], comment: str) -> None:
    """A file that `read_changes` reads, whole or not at all."""
    part = path.with_suffix(path.suffix + ".part")
    part.write_text(f"# {comment}\n" + yaml.safe_dump(dict(changes), sort_keys=True))
    part.replace(path)


def nested(values: Mapping[str, Any]) -> dict[str, Any]:
    """Dotted names as nested changes: {"als.factors": 32} is {"als": {"factors": 32}}."""
    out: dict[str, Any] = {}
    for name, value in values.items():
        *groups, last = name.split(".")
        place = out
        for group in groups:
            place = place.setdefault(group, {})
        place[last] = value
    return out


def _unknown(whole: Mapping[str, Any], changes: Mapping[str, Any]) -> str:
    """The first dotted name that the whole lacks; empty where it has all. Value weights are by any head's name."""
    for name, value in changes.items():
        if name not in whole:
            return str(name)
        if isinstance(whole[name], Mapping) and isinstance(value, Mapping) and name != "value_weights":
            below = _unknown(whole[name], value)
            if below:
                return f"{name}.{below}"
    return ""


def merged(whole: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """The whole with nested changes; weights by head are replaced all together."""
    out = dict(whole)
    for name, value in changes.items():
        old = out.get(name)
        keyed = isinstance(old, Mapping) and isinstance(value, Mapping) and name != "value_weights"
        out[name] = merged(old, value) if keyed else value  # type: ignore[arg-type]
    return out
