"""Numba behind one typed decorator, so that the rest of the package stays checkable."""

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba  # type: ignore[import-untyped, unused-ignore]

Function = TypeVar("Function", bound=Callable[..., Any])


def compiled(function: Function) -> Function:
    """The same function as machine code, kept on disk between runs."""
    return cast(Function, numba.njit(cache=True, nogil=True, error_model="numpy")(function))
