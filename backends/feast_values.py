"""Feast's protobuf values from and into packed records."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

import numpy as np
from feast.protos.feast.types.Value_pb2 import Value

from core.arrays import Array
from core.errors import InputError

_KIND: Final = {"u1": "int32", "i4": "int32", "i8": "int64", "f4": "float", "f8": "double"}


def values_of(records: Array, names: Iterable[str]) -> list[dict[str, Value]]:
    """Each record's fields as Feast values."""
    found: list[dict[str, Value]] = [{} for _ in records]
    for name in names:
        column = records[name]
        kind = _KIND[column.dtype.str[1:]]
        for row, value in enumerate(column.tolist()):
            found[row][name] = _value(kind, value)
    return found


def _value(kind: str, value: Any) -> Value:
    made = Value()
    if isinstance(value, list):
        getattr(made, f"{kind}_list_val").val.extend(value)
    else:
        setattr(made, f"{kind}_val", value)
    return made


def fill(records: Array, row: int, values: Mapping[str, Value]) -> None:
    """Put values into a record; a null keeps what is stored."""
    for name, value in values.items():
        kind = value.WhichOneof("val")
        if kind is None or name not in (records.dtype.names or ()):
            continue
        given = getattr(value, kind)
        exact = _exact(list(given.val) if kind.endswith("_list_val") else given, records.dtype[name], name)
        records[name][row] = exact


def _exact(given: Any, dtype: np.dtype[Any], name: str) -> Array:
    """The value in the row's own type; InputError when that would change it."""
    try:
        exact = np.array(given, dtype.base)
    except (OverflowError, TypeError, ValueError) as error:
        raise InputError(f"The value given for {name} does not fit {dtype.base} ({error}).") from error
    if exact.shape != dtype.shape:
        raise InputError(f"The value given for {name} has shape {exact.shape} where {dtype.shape} is due.")
    if dtype.base.kind in "iu" and not np.array_equal(exact, np.array(given)):
        raise InputError(f"The value given for {name} is not a whole number.")
    return exact
