"""Random histories of publication, moderation, removal and blocks: what must not be seen leaves by no surface."""

import asyncio
import random

import pytest

from core.catalogue import ViewerRecord
from core.events import Block, Follow, HideAuthor, Unblock, VideoPublished, VideoRemoved, VideoUpdated
from core.settings import Settings
from feeds.cursor import TimePlaceSigner
from feeds.following import FollowingFeed, FollowingParts
from feeds.hydrate import Readers
from feeds.views import Views
from tests.feeds.test_trending_feed import ToyTrending
from tests.feeds.toy_feed import ids

VIEWERS = {"ann": "DE", "bob": "FR", "cyn": ""}
AUTHORS = ("fay", "gus", "hal", "ann")
REGIONS = ((), ("DE",), ("FR", "IT"), ("*",), ("DE", "FR"))


class Oracle:
    """Who may see what, kept by hand."""

    def __init__(self):
        self.author, self.word, self.blocked, self.gone, self.apart, self.hidden = {}, {}, {}, set(), set(), set()

    def may_see(self, viewer, video):
        """The rule in words: public, there, and nobody stands between the two."""
        author, region, blocked = self.author[video], VIEWERS[viewer], self.blocked.get(video, ())
        here = not blocked or (region and region not in blocked and "*" not in blocked)
        apart = {(viewer, author), (author, viewer)} & self.apart or (viewer, author) in self.hidden
        return bool(here and self.word[video] == "public" and video not in self.gone and not apart)


class ThreeSurfaces(ToyTrending):
    """For-You, Following and Trending over the same stores, and the oracle beside them."""

    def __init__(self, folder, seed):
        super().__init__(folder)
        self.rng, self.oracle, self.events, self.pages = random.Random(seed), Oracle(), 0, {}
        asyncio.run(
            self.tables.put_users([ViewerRecord(user_id=name, region=where) for name, where in VIEWERS.items()])
        )
        readers = Readers(features=self.features, history=self.history, tables=self.tables, slates=self.slates)
        self.following = FollowingFeed(
            FollowingParts(
                readers=readers, views=Views(readers, self.videos, self.state, 1_000), state=self.state,
                signer=TimePlaceSigner(b"k" * 32, "following"), refresh=self.processor.catch_up,
                clock=lambda: self.now_ms, later=self._later, deadline_ms=1_000,
                cursor_ttl_ms=Settings().cursor_ttl_s * 1000,
            )
        )  # fmt: skip
        for row, video in enumerate(self.state.table.video_ids):
            self.oracle.author[video], self.oracle.word[video] = (
                self.state.table.authors.words[self.state.table.author[row]],
                "public",
            )
        for viewer in VIEWERS:
            for author in AUTHORS:
                self.act(Follow, viewer_id=viewer, author_id=author)

    def act(self, kind, **fields):
        self.events += 1
        self.now_ms += 1_000
        self.happen(kind(event_id=f"x{self.events}", time_ms=self.now_ms, **fields))

    def anything(self):
        """One change, told to the product and to the oracle."""
        oracle, rng = self.oracle, self.rng
        video, viewer, author = rng.choice(list(oracle.author)), rng.choice(list(VIEWERS)), rng.choice(AUTHORS)
        match rng.choices(("publish", "say", "moderate", "remove", "block", "unblock", "hide"), (6, 4, 4, 1, 2, 3, 1))[
            0
        ]:
            case "publish":
                new = rng.choice((video, f"n{self.events}"))
                by, word, where = rng.choice(AUTHORS), rng.choice(("public", "friends")), rng.choice(REGIONS)
                fields = {"author_id": by, "length_ms": 9_000, "upload_ms": self.now_ms, "visibility": word}
                self.act(VideoPublished, viewer_id=by, video_id=new, blocked_regions=where, **fields)
                self.watch_it(new)
                oracle.author[new], oracle.word[new] = by, word
                oracle.blocked[new] = where or oracle.blocked.get(new, ())
            case "say":
                oracle.word[video] = rng.choice(("public", "private", "friends"))
                self.act(VideoUpdated, viewer_id="op", video_id=video, visibility=oracle.word[video])
            case "moderate":
                oracle.blocked[video] = rng.choice(REGIONS)
                self.act(VideoUpdated, viewer_id="op", video_id=video, blocked_regions=oracle.blocked[video])
            case "remove":
                oracle.gone.add(video)
                self.act(VideoRemoved, viewer_id="op", video_id=video)
            case "block":
                pair = rng.choice(((viewer, author), (author, viewer)))
                oracle.apart.add(pair)
                self.act(Block, viewer_id=pair[0], author_id=pair[1])
            case "unblock" if oracle.apart:
                pair = rng.choice(sorted(oracle.apart))
                oracle.apart.remove(pair)
                self.act(Unblock, viewer_id=pair[0], author_id=pair[1])
            case "hide":
                oracle.hidden.add((viewer, author))
                self.act(HideAuthor, viewer_id=viewer, author_id=author)

    def watch_it(self, video):
        """Enough watches that Trending wants it."""
        self.happen(*(self.watch(f"u{number}", video, 0) for number in range(6)))

    def leaves(self, viewer):
        """Every video that any surface gives the viewer now, with the surface; also pages that were served before."""
        yield from (("for_you", video) for video in ids(self.page(viewer, limit=8)))
        given = self.pages.setdefault(viewer, [])
        if given:
            again = self.page(viewer, limit=8, cursor=self.rng.choice(given))
            yield from (("for_you again", video) for video in ids(again))
        page = self.page(viewer, page=self.rng.randrange(3), limit=8)
        given += [page.cursor] if page.cursor else []
        yield from (("for_you by number", video) for video in ids(page))
        yield from (("trending", video) for video in self.shown(viewer, limit=50))
        following = asyncio.run(self.following.page(viewer, page_size=50, cursor=None))
        yield from (("following", video.video_id) for video in following.videos)


@pytest.mark.parametrize("seed", range(4))
def test_what_must_not_be_seen_leaves_by_no_surface_whatever_still_holds_it(tmp_path, seed):
    toy = ThreeSurfaces(tmp_path, seed)
    seen = {}
    for _ in range(60):
        toy.now_ms += 20_000  # boards are made anew every few steps: most of the time an old one is asked
        toy.anything()
        viewer = toy.rng.choice(list(VIEWERS))
        for surface, video in toy.leaves(viewer):
            assert toy.oracle.may_see(viewer, video), (surface, viewer, video, toy.events)
            seen[surface] = seen.get(surface, 0) + 1
    assert set(seen) == {"for_you", "for_you again", "for_you by number", "trending", "following"}


def test_a_block_that_is_lifted_lets_the_video_out_again(tmp_path):
    toy = ThreeSurfaces(tmp_path, 0)
    toy.act(VideoPublished, viewer_id="fay", video_id="new", author_id="fay", length_ms=9_000, upload_ms=toy.now_ms)

    def following(viewer):
        return [v.video_id for v in asyncio.run(toy.following.page(viewer, page_size=50, cursor=None)).videos]

    for regions, who in ((("DE",), ["bob"]), (("*",), []), ((), ["ann", "bob", "cyn"])):
        toy.act(VideoUpdated, viewer_id="op", video_id="new", blocked_regions=regions)
        assert [viewer for viewer in VIEWERS if "new" in following(viewer)] == who
