"""Turns video records into the response of the spec; what the data lacks is filled deterministically and named."""

from collections.abc import Mapping, Sequence

from core.catalogue import Reactions, VideoRecord, ViewerRecord
from features.layout import TOTALS
from feeds.page import InteractionView, MusicView, StatsView, UrlsView, UserView, VideoView

MADE_UP_URLS = ("urls", "thumbnail_url", "user.avatar_url")
_TOTAL = {name: index for index, name in enumerate(TOTALS)}


def user_view(user_id: str, user: ViewerRecord | None) -> UserView:
    """The author, with names made from the id where nothing is known."""
    known = user or ViewerRecord(user_id=user_id)
    return UserView(
        user_id=user_id,
        username=known.username or f"user_{user_id}",
        display_name=known.display_name or f"User {user_id}",
        avatar_url=known.avatar_url or f"/media/avatars/{user_id}.jpg",
        verified=known.verified,
    )


def video_view(
    record: VideoRecord, author: ViewerRecord | None, totals: Sequence[int], reactions: Reactions
) -> VideoView:
    """One video as the spec shows it; `totals` as features.layout.TOTALS."""
    video, base = record.video, f"/media/videos/{record.video.video_id}"
    return VideoView(
        video_id=video.video_id,
        user=user_view(video.author_id, author),
        title=video.title or f"Video {video.video_id}",
        description=video.description,
        category=video.topic,
        hashtags=video.hashtags,
        created_at=video.upload_ms,
        urls=UrlsView(**{f"p{height}": f"{base}/{height}p/playlist.m3u8" for height in (360, 720, 1080)}),
        thumbnail_url=f"{base}/thumb.jpg",
        duration_sec=video.length_ms / 1000,
        stats=StatsView(
            views=int(totals[_TOTAL["views"]]),
            likes=int(totals[_TOTAL["likes"]]),
            comments=int(totals[_TOTAL["comments"]]),
            shares=int(totals[_TOTAL["shares"]]),
        ),
        user_interaction=InteractionView(
            liked=video.video_id in reactions.liked, saved=video.video_id in reactions.saved
        ),
        music=MusicView(music_id=video.music_id),
    )


def made_up_fields(records: Sequence[VideoRecord], authors: Mapping[str, ViewerRecord | None]) -> tuple[str, ...]:
    """The response fields that this page had to fill."""
    fields = set(MADE_UP_URLS)
    for record in records:
        author = authors.get(record.video.author_id)
        fields |= {"title"} if not record.video.title else set()
        for name in ("username", "display_name"):
            if author is None or not getattr(author, name) or name in author.made_up:
                fields.add(f"user.{name}")
    return tuple(sorted(fields))
