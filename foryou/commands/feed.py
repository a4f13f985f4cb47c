"""`foryou feed`, `foryou explain` and `foryou replay`: one page, why it is so, and whether it can be had again."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from core.errors import NotFound
from foryou.commands.home import HomeOption, JsonOption, command, settings_of
from foryou.commands.serving import opened
from foryou.console import Steps, note, show_json, show_table

if TYPE_CHECKING:
    from core.settings import Settings
    from feeds.page import ExplainedVideo, Explanation, FeedPage
    from feeds.replay import Replay
    from foryou.bootstrap import Product

Result = TypeVar("Result")
_TERMS_SHOWN = 4
_PATIENT_MS = 10_000


def feed(
    user: Annotated[str, typer.Argument(help="The id of the viewer.")],
    limit: Annotated[int, typer.Option(min=1, max=50, help="Most videos on the page.")] = 20,
    page: Annotated[int | None, typer.Option(min=0, help="Page of the session.", show_default="the next")] = None,
    new: Annotated[bool, typer.Option("--new", help="USER may be someone whom the home does not know.")] = False,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Show the next page of USER's For-You feed; the slate is recorded, as the API does.

    Example: foryou feed u12
    """

    async def run(product: "Product") -> "tuple[FeedPage, Explanation | None]":
        if not new:
            await _require_viewer(product, user)
        shown = await product.page(user, page=page, limit=limit, cursor=None, device="")
        why = await product.explain(shown.slate_id) if shown.slate_id else None
        return shown, why

    settings = settings_of(home=home)
    # Someone at a terminal would rather wait for the ranking than be told that it was late.
    patient = settings.model_copy(update={"request_deadline_ms": max(settings.request_deadline_ms, _PATIENT_MS)})
    shown, why = _with_product(patient, run)
    if json:
        show_json(shown)
        return
    explained = {video.video_id: video for video in why.videos} if why else {}
    rows = [
        (number, view.video_id, view.user.display_name or view.user.user_id, view.category,
         f"{view.duration_sec:.0f} s", *_origin(explained.get(view.video_id)))
        for number, view in enumerate(shown.videos)
    ]  # fmt: skip
    columns = (">", "video", "author", "topic", ">length", "source", ">value")
    show_table(f"For {user}, slate {shown.slate_id or '(none)'}", columns, rows)
    if shown.made_up:
        note(f"Made up by the import, for the source does not say: {', '.join(shown.made_up)}.")
    if shown.degraded:
        note(f"Left out: {', '.join(shown.degraded)}.")
    if shown.slate_id:
        note(f"Next: {command(settings, f'explain {shown.slate_id}')}")


def explain(
    slate: Annotated[str, typer.Argument(help="A slate's id, as `foryou feed` and the API give it.")],
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Say why each video of SLATE is where it is: its source, its value term by term, what re-ranking moved.

    Example: foryou explain 3f2a9c0d1e4b5a6978c0d1e2
    """
    why = _with_product(settings_of(home=home), lambda product: product.explain(slate))
    if why is None:
        raise NotFound(f"There is no slate {slate}; take one from `foryou feed` or `slate_id` of a feed answer.")
    if json:
        show_json(why)
        return
    rows = [
        (v.position, v.video_id, "+".join(v.sources) or v.source, v.value, _terms(v), _adjustments(v), v.value_rank,
         _moved(v.moved), _chance(v))
        for v in why.videos
    ]  # fmt: skip
    columns = (
        ">", "video", "sources", ">value", "prediction x weight", "adjustments", ">rank by value", ">moved", "drawn",
    )  # fmt: skip
    show_table(f"Slate {why.slate_id} for {why.viewer_id}, bundle {why.bundle_id}", columns, rows)
    if not any(v.terms for v in why.videos):
        note("There are no terms: the slate was served by a bundle that is not loaded, or has no detail yet.")
    if why.policy:
        page = "The whole page was drawn" if why.policy == "plackett_luce" else "Places were drawn"
        note(f"{page} ({why.policy}) from {why.pool} videos by softmax(score / {why.temperature:g}).")
    if why.dropped:
        counts: dict[str, int] = {}
        for dropped in why.dropped:
            counts[dropped.stage] = counts.get(dropped.stage, 0) + 1
        note("Candidates dropped: " + ", ".join(f"{stage} {count:,}" for stage, count in counts.items()))


def replay(
    slate: Annotated[str, typer.Argument(help="A slate's id.")],
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Run SLATE again from its record and compare; exits with 1 when something else comes out.

    Example: foryou replay 3f2a9c0d1e4b5a6978c0d1e2 --json
    """
    result: Replay = _with_product(settings_of(home=home), lambda product: product.replay(slate))
    if json:
        show_json(result)
    else:
        verdict = {True: "identical", False: "DIFFERENT", None: "not comparable"}[result.identical]
        print(f"{result.slate_id}: {verdict} (fidelity {result.fidelity}). {result.reason}")
    if result.identical is False:
        raise typer.Exit(1)


def _with_product(settings: "Settings", work: "Callable[[Product], Awaitable[Result]]") -> Result:
    async def run() -> Result:
        product = await opened(settings)
        try:
            result = await work(product)
            await product.settled()
            return result
        finally:
            await product.stores.let_go()

    with Steps() as steps:
        steps.begin("loading the bundle")
        return asyncio.run(run())


async def _require_viewer(product: "Product", user: str) -> None:
    if (await product.stores.tables.users([user]))[0] is None and not await product.stores.history.seen(user):
        raise NotFound(f"The home {product.settings.home} knows no viewer {user}; with --new it makes a first page.")


def _origin(video: "ExplainedVideo | None") -> tuple[str, object]:
    return (video.source, video.value) if video is not None else ("", "")


def _terms(video: "ExplainedVideo") -> str:
    weighed = [(head, term) for head, term in video.terms.items() if term.weight]
    weighed.sort(key=lambda item: -abs(item[1].term))
    lines = [f"{head} {t.prediction:.3f} x {t.weight:g} = {t.term:+.3f}" for head, t in weighed[:_TERMS_SHOWN]]
    if len(weighed) > _TERMS_SHOWN:
        lines.append(f"others {sum(term.term for _, term in weighed[_TERMS_SHOWN:]):+.3f}")
    return "\n".join(lines)


def _adjustments(video: "ExplainedVideo") -> str:
    """What each scorer after the value added, where it added anything."""
    return "\n".join(f"{name} {added:+.3f}" for name, added in video.adjustments.items() if abs(added) >= 0.0005)


def _chance(video: "ExplainedVideo") -> str:
    return f"P = {video.propensity:.3g}" if video.drawn else "pinned" if video.pinned else ""


def _moved(places: int) -> str:
    return "" if places == 0 else f"{'up' if places > 0 else 'down'} {abs(places)}"
