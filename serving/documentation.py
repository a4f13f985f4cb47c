"""OpenAPI for structs: FastAPI documents pydantic models, and our answers are msgspec structs."""

from typing import Any, Final

import msgspec
from fastapi import FastAPI

from core.events import CATALOGUE_EVENTS, VIEWER_EVENTS
from serving.errors import JSON, ErrorAnswer

_TEMPLATE: Final = "#/components/schemas/{name}"
_MEANING: Final = {
    400: "The request cannot be understood.",
    401: "The bearer token is missing, invalid or expired.",
    404: "It does not exist, or not for this caller.",
    413: "The body or the batch is over the limit.",
    503: "A part that is needed does not answer; nothing was done, try again later.",
    507: "No space is left; nothing was done.",
}


def _reference(name: str) -> dict[str, str]:
    return {"$ref": _TEMPLATE.format(name=name)}


def _content(name: str) -> dict[str, Any]:
    return {"content": {JSON: {"schema": _reference(name)}}}


def answers(success: type | None, *errors: int) -> dict[int | str, dict[str, Any]]:
    """What an endpoint answers, for its `responses`."""
    documented: dict[int | str, dict[str, Any]] = {
        status: {"description": _MEANING[status], **_content("ErrorAnswer")} for status in errors
    }
    if success is not None:
        documented[200] = {"description": "Success", **_content(success.__name__)}
    return documented


def events_body() -> dict[str, Any]:
    """The request body of the event intake, for its `openapi_extra`."""
    kinds = [_reference(kind.__name__) for kind in VIEWER_EVENTS + CATALOGUE_EVENTS]
    batch = {"type": "array", "items": {"oneOf": kinds}}
    wrapped = {"type": "object", "properties": {"events": batch}, "required": ["events"]}
    return {"required": True, "content": {JSON: {"schema": {"oneOf": [wrapped, batch]}}}}


class DocumentedApi(FastAPI):
    """A FastAPI app whose schema has the structs that `answers` refers to."""

    structs: tuple[type, ...] = ()

    def openapi(self) -> dict[str, Any]:
        """The OpenAPI document."""
        if self.openapi_schema is None:
            document = super().openapi()
            types = (ErrorAnswer, *self.structs, *VIEWER_EVENTS, *CATALOGUE_EVENTS)
            _, schemas = msgspec.json.schema_components(types, ref_template=_TEMPLATE)
            document.setdefault("components", {}).setdefault("schemas", {}).update(schemas)
            for name in ("HTTPValidationError", "ValidationError"):
                document["components"]["schemas"].pop(name, None)
            _drop_unused_422(document)
        assert self.openapi_schema is not None
        return self.openapi_schema


def _drop_unused_422(document: dict[str, Any]) -> None:
    """A validation error is answered with 400 here, so FastAPI's own 422 is not documented."""
    for path in document["paths"].values():
        for operation in path.values():
            operation["responses"].pop("422", None)
