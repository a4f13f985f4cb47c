"""GET /api/v1/feed/trending, which anybody may ask."""

from typing import Annotated

import msgspec
from fastapi import APIRouter, Depends, Query, Request, Response, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from core.errors import InputError
from feeds.page import TrendingPage
from feeds.trending.board import BoardKey
from feeds.trending.config import Mode, TimeRange
from feeds.trending.feed import SAFETY_UNKNOWN
from serving.documentation import answers
from serving.errors import JSON, RETRY_AFTER_S
from serving.ports import ServingParts
from serving.routes import MAX_PAGE, PERSONAL, PREFIX


def trending_router(parts: ServingParts) -> APIRouter:
    """The Trending feed."""
    router = APIRouter(prefix=PREFIX + "/feed", tags=["feed"])
    scheme = HTTPBearer(auto_error=False, bearerFormat="JWT", description="optional: whom a viewer blocked stays away")

    async def viewer(
        request: Request, _: Annotated[HTTPAuthorizationCredentials | None, Security(scheme)] = None
    ) -> str:
        header = request.headers.get("authorization")
        return parts.verifier.identify(header).viewer_id if header is not None else ""

    @router.get("/trending", responses=answers(TrendingPage, 400, 401, 503))
    async def trending(
        viewer_id: Annotated[str, Depends(viewer)],
        time_range: Annotated[TimeRange | None, Query()] = None,
        region: Annotated[str, Query(max_length=64)] = "",
        category: Annotated[str, Query(max_length=64)] = "",
        mode: Annotated[Mode | None, Query()] = None,
        page: Annotated[int | None, Query(ge=0, le=MAX_PAGE)] = None,
        limit: Annotated[int, Query(ge=1, le=50)] = 20,
        cursor: Annotated[str | None, Query(min_length=1, max_length=2048)] = None,
    ) -> Response:
        """A page of what trends, by `page` or continued by a `cursor`: everywhere, in a region, in a category or both.

        `time_range` is 24h where none is given; the mode `literal` has none.
        """
        key = _board_key(mode or parts.settings.trending_mode, time_range, region, category)
        if page is not None and cursor is not None:
            raise InputError("Give either page or cursor, not both.")
        shown = await parts.trending.page(viewer_id, key, page=page, limit=limit, cursor=cursor)
        return _answer(parts, shown)

    return router


def _board_key(mode: Mode, time_range: TimeRange | None, region: str, category: str) -> BoardKey:
    if mode == "literal" and time_range is not None:
        raise InputError("The mode literal has no windows; leave time_range out, or ask for mode=spec.")
    return BoardKey(mode, time_range or "24h", region, category)


def _answer(parts: ServingParts, shown: TrendingPage) -> Response:
    for part in shown.degraded:
        parts.metrics.degraded(part)
    # Nobody before us may keep it: what is removed or hidden in this minute must not leave any more.
    answer = Response(msgspec.json.encode(shown), 200, PERSONAL, JSON)
    if SAFETY_UNKNOWN in shown.degraded:
        answer.headers["Retry-After"] = str(RETRY_AFTER_S)
    return answer
