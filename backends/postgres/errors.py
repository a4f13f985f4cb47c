"""PostgreSQL's errors as core's: one sentence each, never with the password."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from core.errors import ConfigError, CorruptData, ForyouError, InputError, StorageFull, Unavailable

# States of the SQL standard and of PostgreSQL's documentation, appendix A.
_NO_DATABASE: Final = "3D000"
_NO_TABLE: Final = {"42P01", "42703", "3F000"}
_REFUSED: Final = {"28000", "28P01", "42501"}
_FULL: Final = {"53100"}
_UNIQUE: Final = "23505"
_AGAIN: Final = {"40001", "40P01"}
_CORRUPT: Final = {"XX001", "XX002"}
_READ_ONLY: Final = "25006"
_AWAY_CLASSES: Final = ("08", "53", "57", "58", "55")
_VALUE_CLASS: Final = "22"


def url_of(given: str) -> URL:
    """The setting as SQLAlchemy's URL for asyncpg; ConfigError when it is none."""
    try:
        url = make_url(given)
    except (ArgumentError, ValueError) as error:
        raise ConfigError("FORYOU_POSTGRES is no URL; write postgresql://user:password@host:5432/database.") from error
    if url.get_backend_name() not in ("postgresql", "postgres") or not url.database:
        raise ConfigError("FORYOU_POSTGRES must look like postgresql://user:password@host:5432/database.")
    unknown = sorted(url.query.keys() - {"sslmode"})
    if unknown:
        raise ConfigError(f"FORYOU_POSTGRES has the parameter {unknown[0]!r}; the only one is sslmode.")
    mode = url.query.get("sslmode")  # libpq's name; asyncpg's is ssl
    return url.set(drivername="postgresql+asyncpg", query={"ssl": mode} if mode else {})


def place_of(url: URL) -> str:
    """Host, port and database, as a person names them."""
    return f"{url.host or '127.0.0.1'}:{url.port or 5432}/{url.database}"


def state_of(error: BaseException) -> str:
    """The five-letter state that the server gave, "" when it gave none."""
    inner: BaseException | None = error
    while inner is not None:
        state = getattr(inner, "sqlstate", None)
        if state:
            return str(state)
        inner = getattr(inner, "orig", None) or inner.__cause__
    return ""


def again(error: BaseException) -> bool:
    """Whether the same statement may go through at once: a lost race, or a connection of before a restart."""
    if isinstance(error, DBAPIError) and error.connection_invalidated:
        return True
    return state_of(error) in _AGAIN


@contextmanager
def translated(url: URL) -> Iterator[None]:
    """The driver's errors as ConfigError, InputError, StorageFull, CorruptData or Unavailable; bugs pass unchanged."""
    try:
        yield
    except (TimeoutError, SQLAlchemyError, OSError) as error:
        found = _sentence(error, place_of(url), url)
        if found is None:
            raise
        raise found from error


def _sentence(error: BaseException, place: str, url: URL) -> ForyouError | None:
    state, said = state_of(error), _said(error)
    if state == _NO_DATABASE:
        return ConfigError(f"There is no database for {place}; make it with createdb, then run `foryou stack init`.")
    if state in _NO_TABLE:
        return ConfigError(f"The database {place} has not our tables; run `foryou stack init`.")
    if state in _REFUSED:
        return ConfigError(f"PostgreSQL at {place} refuses user {url.username!r} ({said}); correct FORYOU_POSTGRES.")
    if state in _FULL:
        return StorageFull(f"No space is left for PostgreSQL at {place}; free some and try again.")
    if state in _CORRUPT:
        return CorruptData(f"PostgreSQL at {place} reports damaged pages ({said}); restore a backup.")
    if state == _UNIQUE:
        return InputError(f"A name that must be unique is taken ({_detail(error)}); choose another.")
    if state[:2] == _VALUE_CLASS:
        return InputError(f"PostgreSQL cannot store a value ({said}); correct it.")
    if state == _READ_ONLY:
        return Unavailable(f"PostgreSQL at {place} takes no writes ({said}); is it a standby? We try again.")
    if state in _AGAIN:
        return Unavailable(f"Other writers were in the way at {place} each time ({said}); we try again.")
    if _away(error, state):
        return Unavailable(f"PostgreSQL at {place} does not answer ({said}); is it running? We try again.")
    return None


def _away(error: BaseException, state: str) -> bool:
    if state:
        return state[:2] in _AWAY_CLASSES
    if isinstance(error, OSError | asyncio.TimeoutError | PoolTimeout):
        return True
    return isinstance(error, DBAPIError) and (error.connection_invalidated or _is_refused_connection(error))


def _is_refused_connection(error: DBAPIError) -> bool:
    cause: BaseException | None = error.orig
    while cause is not None:
        if isinstance(cause, OSError | asyncio.TimeoutError):
            return True
        cause = cause.__cause__
    return False


def _said(error: BaseException) -> str:
    """The driver's own words: its first line."""
    inner = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    while inner.__cause__ is not None:
        inner = inner.__cause__
    return (str(inner).strip().splitlines() or [type(inner).__name__])[0].rstrip(".")


def _detail(error: BaseException) -> str:
    inner: BaseException | None = error
    while inner is not None:
        detail = getattr(inner, "detail", None)
        if isinstance(detail, str) and detail:
            return detail.rstrip(".")
        inner = getattr(inner, "orig", None) or inner.__cause__
    return _said(error)
