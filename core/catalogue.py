"""Records of the catalogue and of viewers, as the stores keep them."""

import msgspec

from core.events import VideoPublished


class VideoRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A video as published, with its row of the VideoTable and its present visibility."""

    row: int
    video: VideoPublished
    visibility: str = "public"


class ViewerRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The public profile of a user; `made_up` names the fields that an importer had to fill."""

    user_id: str
    username: str = ""
    display_name: str = ""
    avatar_url: str = ""
    verified: bool = False
    region: str = ""
    language: str = ""
    device: str = ""
    age_band: str = ""
    signup_ms: int = 0
    chosen_topics: tuple[str, ...] = ()
    traits: tuple[str, ...] = ()
    made_up: tuple[str, ...] = ()


class Relations(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A viewer's standing towards authors, as author ids."""

    follows: tuple[str, ...] = ()
    blocked: tuple[str, ...] = ()
    blocked_by: tuple[str, ...] = ()
    hidden: tuple[str, ...] = ()


class Reactions(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The videos that a viewer has liked, saved, and marked as not interesting or reported, as ids."""

    liked: frozenset[str] = frozenset()
    saved: frozenset[str] = frozenset()
    disliked: frozenset[str] = frozenset()
