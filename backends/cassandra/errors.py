"""The one place where the driver's errors become core's."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from cassandra import (
    AuthenticationFailed,
    CoordinationFailure,
    InvalidRequest,
    OperationTimedOut,
    RequestExecutionException,
    Timeout,
    Unauthorized,
    UnresolvableContactPoints,
)
from cassandra import Unavailable as TooFewReplicas
from cassandra.cluster import NoHostAvailable
from cassandra.connection import ConnectionException
from cassandra.protocol import ErrorMessage

from core.errors import ConfigError, Unavailable

_NOT_MADE: Final = ("keyspace", "unconfigured table", "undefined column", "table", "unknown identifier")
_QUOTED: Final = re.compile(r'message="(.*)"')
_AWAY: Final = (
    NoHostAvailable, OperationTimedOut, Timeout, CoordinationFailure, TooFewReplicas, ConnectionException,
    UnresolvableContactPoints, RequestExecutionException, ErrorMessage, OSError,
)  # fmt: skip


@contextmanager
def translated(where: str, keyspace: str) -> Iterator[None]:
    """The driver's errors as Unavailable or ConfigError; a statement that Cassandra refuses is a bug and passes."""
    try:
        yield
    except (AuthenticationFailed, Unauthorized) as error:
        raise _refused(where, error) from error
    except InvalidRequest as error:
        if any(word in str(error).lower() for word in _NOT_MADE):
            raise ConfigError(
                f"Cassandra at {where} has no keyspace {keyspace!r} with this version's tables ({_said(error)}); make"
                " them with `foryou stack init`, or correct FORYOU_CASSANDRA_KEYSPACE."
            ) from error
        raise
    except _AWAY as error:
        errors = getattr(error, "errors", None)
        inner = list(errors.values()) if isinstance(errors, dict) else []
        if any(isinstance(one, AuthenticationFailed | Unauthorized) for one in inner):
            raise _refused(where, error) from error
        raise Unavailable(
            f"Cassandra at {where} does not answer ({_reason(inner[0] if inner else error)}); start it, or correct"
            " FORYOU_CASSANDRA."
        ) from error


def _refused(where: str, error: Exception) -> ConfigError:
    return ConfigError(f"Cassandra at {where} refuses this account ({_said(error)}); it must allow anonymous clients.")


def _reason(error: BaseException) -> str:
    """A few words for a person, of the driver's many."""
    if isinstance(error, OperationTimedOut):
        return "no answer in time"
    if isinstance(error, UnresolvableContactPoints):
        return "there is no such host"
    if isinstance(error, Timeout | CoordinationFailure | TooFewReplicas):
        return "too few replicas answered"
    if isinstance(error, OSError) and error.errno:
        return (error.strerror or type(error).__name__).rpartition("Last error: ")[2].lower()
    return _said(error)


def _said(error: BaseException) -> str:
    text = str(getattr(error, "message", "") or error).strip()
    quoted = _QUOTED.search(text)
    return (quoted[1] if quoted else (text.splitlines() or [type(error).__name__])[0])[:200].rstrip(".")
