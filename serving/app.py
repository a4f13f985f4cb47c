"""The HTTP app: its endpoints, its errors and its outermost layer, put together."""

from fastapi import FastAPI
from starlette.types import StatelessLifespan

from feeds.page import Explanation, FeedPage, FollowingPage, TrendingPage
from serving import errors
from serving.boundary import Boundary
from serving.documentation import DocumentedApi
from serving.ports import ServingParts
from serving.routes import (
    EventsAnswer,
    events_router,
    explain_router,
    feed_router,
    following_router,
    operations_router,
)
from serving.trending_routes import trending_router


def create_app(parts: ServingParts, lifespan: StatelessLifespan[FastAPI] | None = None) -> FastAPI:
    """The app over these parts; `lifespan` is the composition root's start and stop."""
    app = DocumentedApi(
        title="For You",
        version="1",
        description="Feeds for short video: For You, Following, Trending, explanations and event intake.",
        lifespan=lifespan,
    )
    app.structs = (FeedPage, FollowingPage, TrendingPage, Explanation, EventsAnswer)
    for router in (feed_router, following_router, trending_router, explain_router, events_router, operations_router):
        app.include_router(router(parts))
    errors.install(app)
    app.add_middleware(Boundary, metrics=parts.metrics)
    return app
