"""The endpoints: read what the request says, call one use case, encode what it gives."""

from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Final

import msgspec
from fastapi import APIRouter, Depends, Header, Path, Query, Request, Response, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from core.errors import InputError, NotFound, TooLarge, Unavailable
from core.events import MAX_ID_CHARS
from feeds.following import SAFETY_UNKNOWN
from feeds.intake import Verdict
from feeds.page import Explanation, FeedPage, FollowingPage
from serving.auth import Identity, Verifier
from serving.documentation import answers, events_body
from serving.errors import JSON, RETRY_AFTER_S
from serving.limits import read_body
from serving.metrics import CONTENT_TYPE
from serving.ports import ServingParts

PREFIX: Final = "/api/v1"
MAX_PAGE: Final = 10_000
PERSONAL: Final = {"Cache-Control": "private, no-store"}


class EventsBody(msgspec.Struct, frozen=True):
    """A batch of events, each decoded on its own later so that a bad one spoils no other."""

    events: list[msgspec.Raw]


class EventsAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """Verdicts in the order of the events; `accepted` counts new events, `duplicates` known ones."""

    accepted: int
    duplicates: int
    rejected: int
    results: list[Verdict]


def _json(value: object) -> Response:
    return Response(msgspec.json.encode(value), 200, PERSONAL, JSON)


def caller(verifier: Verifier) -> Callable[..., Awaitable[Identity]]:
    """A dependency that gives the caller's identity, documented as a bearer scheme."""
    scheme = HTTPBearer(auto_error=False, bearerFormat="JWT", description="RS256, 15 minutes")

    async def identify(
        request: Request,
        _: Annotated[HTTPAuthorizationCredentials | None, Security(scheme)],
    ) -> Identity:
        return verifier.identify(request.headers.get("authorization"))

    return identify


def feed_router(parts: ServingParts) -> APIRouter:
    """The For-You feed."""
    router = APIRouter(prefix=PREFIX + "/feed", tags=["feed"])
    Caller = Annotated[Identity, Depends(caller(parts.verifier))]

    @router.get("/for-you", responses=answers(FeedPage, 400, 401, 503))
    async def for_you(
        who: Caller,
        page: Annotated[int | None, Query(ge=0, le=MAX_PAGE)] = None,
        limit: Annotated[int, Query(ge=1, le=50)] = 20,
        cursor: Annotated[str | None, Query(min_length=1, max_length=2048)] = None,
        x_device: Annotated[str, Header(max_length=64)] = "",
    ) -> Response:
        """A page of the caller's feed: by `page`, or continued by the `cursor` of the last page."""
        if page is not None and cursor is not None:
            raise InputError("Give either page or cursor, not both.")
        shown = await parts.feed.page(who.viewer_id, page=page, limit=limit, cursor=cursor, device=x_device)
        for part in shown.degraded:
            parts.metrics.degraded(part)
        return _json(shown)

    return router


def following_router(parts: ServingParts) -> APIRouter:
    """The Following feed."""
    router = APIRouter(prefix=PREFIX + "/feed", tags=["feed"])
    Caller = Annotated[Identity, Depends(caller(parts.verifier))]

    @router.get("/following", responses=answers(FollowingPage, 400, 401, 503))
    async def following(
        who: Caller,
        page_size: Annotated[int, Query(ge=1, le=50)] = 20,
        cursor: Annotated[str | None, Query(min_length=1, max_length=2048)] = None,
    ) -> Response:
        """The newest videos of the authors whom the caller follows, or by `cursor` what is older."""
        shown = await parts.following.page(who.viewer_id, page_size=page_size, cursor=cursor)
        for part in shown.degraded:
            parts.metrics.degraded(part)
        answer = _json(shown)
        if SAFETY_UNKNOWN in shown.degraded:
            answer.headers["Retry-After"] = str(RETRY_AFTER_S)
        return answer

    return router


def explain_router(parts: ServingParts) -> APIRouter:
    """Why a slate is what it is."""
    router = APIRouter(prefix=PREFIX + "/feed", tags=["feed"])
    Caller = Annotated[Identity, Depends(caller(parts.verifier))]

    @router.get("/explain/{slate_id}", responses=answers(Explanation, 400, 401, 404, 503))
    async def explain(who: Caller, slate_id: Annotated[str, Path(max_length=MAX_ID_CHARS)]) -> Response:
        """How a slate came to be, for its viewer or an operator.

        Anyone else gets the same 404 as for an unknown slate, so that ids cannot be probed.
        """
        found = await parts.feed.explain(slate_id)
        if found is None or not (who.is_operator or found.viewer_id == who.viewer_id):
            raise NotFound("There is no slate of yours with this id.")
        return _json(found)

    return router


def events_router(parts: ServingParts) -> APIRouter:
    """Event intake."""
    router = APIRouter(prefix=PREFIX, tags=["events"])
    Caller = Annotated[Identity, Depends(caller(parts.verifier))]
    decode = msgspec.json.Decoder(EventsBody | list[msgspec.Raw]).decode
    settings = parts.settings

    @router.post(
        "/events",
        responses=answers(EventsAnswer, 400, 401, 413, 503, 507),
        openapi_extra={"requestBody": events_body()},
    )
    async def events(request: Request, who: Caller) -> Response:
        """Report events: `{"events": [...]}` or a bare list. 200 means that each has a verdict."""
        body = await read_body(request, settings.max_body_bytes)
        try:
            decoded = decode(body)
        except (ValueError, RecursionError) as error:
            raise InputError(f"The body is not a JSON list of events ({error}).") from error
        raws = decoded.events if isinstance(decoded, EventsBody) else decoded
        if len(raws) > settings.max_batch_events:
            raise TooLarge(f"A batch holds at most {settings.max_batch_events} events.")
        verdicts = await parts.intake.accept(who.viewer_id, [bytes(raw) for raw in raws], operator=who.is_operator)
        for verdict in verdicts:
            parts.metrics.event(verdict.status)
        return _json(_tally(verdicts))

    return router


def _tally(verdicts: list[Verdict]) -> EventsAnswer:
    statuses = [verdict.status for verdict in verdicts]
    return EventsAnswer(
        accepted=statuses.count("accepted"),
        duplicates=statuses.count("duplicate"),
        rejected=statuses.count("rejected"),
        results=verdicts,
    )


def operations_router(parts: ServingParts) -> APIRouter:
    """What operators and load balancers ask; no token needed."""
    router = APIRouter(tags=["operations"])
    text: dict[int | str, dict[str, Any]] = {200: {"content": {"text/plain": {}}}}

    @router.get("/health")
    async def health() -> Response:
        """200 while the process is alive."""
        return Response(b'{"status":"alive"}', media_type=JSON)

    @router.get("/ready", responses=answers(None, 503))
    async def ready() -> Response:
        """200 when requests can be answered, else 503 with the reason."""
        reason = parts.ready()
        if reason:
            raise Unavailable(reason)
        return Response(b'{"status":"ready"}', media_type=JSON)

    @router.get("/metrics", responses=text)
    async def metrics() -> Response:
        """Prometheus's text format."""
        return Response(parts.metrics.exposition(), media_type=CONTENT_TYPE)

    return router
