"""Errors as JSON: {"error": {"code", "message"}} with the status that core's tree names."""

import logging
import re
import secrets
from collections.abc import Mapping
from http import HTTPStatus
from typing import Final

import msgspec
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from core.errors import AuthError, Forbidden, ForyouError

_log = logging.getLogger(__name__)

JSON: Final = "application/json"
RETRY_AFTER_S: Final = 1


class ErrorDetail(msgspec.Struct, frozen=True):
    """A word for programs and one sentence for people."""

    code: str
    message: str


class ErrorAnswer(msgspec.Struct, frozen=True):
    """The body of every answer that is not a success."""

    error: ErrorDetail


def error_response(status: int, code: str, message: str, headers: Mapping[str, str] | None = None) -> Response:
    """An error as JSON."""
    body = msgspec.json.encode(ErrorAnswer(ErrorDetail(code, message)))
    return Response(body, status, dict(headers or {}), JSON)


def unexpected(error: Exception, where: str) -> Response:
    """A 500 that tells the caller an id only; the log line with this id has the rest."""
    error_id = secrets.token_hex(6)
    _log.error("Error %s in %r", error_id, where, exc_info=error)
    message = f"Something went wrong on our side; report error {error_id}."
    return error_response(500, "internal_error", message)


def install(app: FastAPI) -> None:
    """Answer every expected exception in the one shape."""
    app.add_exception_handler(ForyouError, _on_foryou_error)
    app.add_exception_handler(RequestValidationError, _on_invalid_request)
    app.add_exception_handler(HTTPException, _on_http_exception)


async def _on_foryou_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, ForyouError)
    if error.http_status == 500:
        return unexpected(error, f"{request.method} {request.url.path}")
    code = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", type(error).__name__).lower()
    return error_response(error.http_status, code, error.sentence, _headers(error))


def _headers(error: ForyouError) -> dict[str, str]:
    """What a client needs to know beyond the status."""
    if isinstance(error, AuthError) and not isinstance(error, Forbidden):
        return {"WWW-Authenticate": 'Bearer realm="foryou", error="invalid_token"'}
    if error.http_status == 503:
        return {"Retry-After": str(RETRY_AFTER_S)}
    # The rest of an oversized body is not read, so the connection cannot be used again.
    return {"Connection": "close"} if error.http_status == 413 else {}


async def _on_invalid_request(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    place, name = str(first["loc"][0]), str(first["loc"][-1])
    fault = str(first["msg"]).removeprefix("Input ").removeprefix("String ")
    return error_response(400, "input_error", f"The {place} parameter '{name}' {fault}.")


async def _on_http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    phrase = HTTPStatus(error.status_code).phrase
    code = phrase.lower().replace(" ", "_")
    message = f"{phrase}: {request.method} {request.url.path}"[:200] + "."
    return error_response(error.status_code, code, message, error.headers)
