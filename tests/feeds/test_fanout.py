"""Followers' pages through inboxes equal a look at the whole catalogue, whatever happened in what order."""

import asyncio
import contextlib
from collections import Counter

import pytest

from core.errors import Unavailable
from core.fanout import ACTIVE, PULL, PUSH
from core.log import partition_of
from core.video_table import PUBLIC
from feeds.fanout import FanoutConfig
from feeds.following_inbox import AWAY, INBOX, MIXED, PULLED
from tests.feeds.fanout_world import START_MS, LateCatalogue, World


def lived(story):
    return asyncio.run(story)


async def _person_acts(world):
    rng = world.rng
    viewer, author = f"u{rng.randrange(world.viewers)}", f"a{rng.randrange(world.authors)}"
    videos = sorted({event.video_id for _, _, event in world.log})
    choice = rng.randrange(10)
    if choice < 4:
        world.publish(author, None if rng.random() < 0.8 else world.now_ms - rng.randrange(1_000_000))
    elif choice == 4:
        world.blocks[viewer] ^= {author}
    elif choice < 7:
        world.follow(viewer, author, stands=author not in world.follows[viewer])
    elif videos and choice < 9:
        world.show(rng.choice(videos), rng.choice(["public", "private", "friends", "public"]))
    elif videos:
        world.remove(rng.choice(videos))
    world.now_ms += rng.randrange(60_000)


async def _process_acts(world):
    rng = world.rng
    choice = rng.randrange(12)
    if choice < 4:
        await world.deliver(rng.randrange(2), most=rng.randrange(1, 5), again=rng.choice([0, 0, 2]))
    elif choice < 6:
        await world.relate(world.related + rng.randrange(4))
    elif choice == 6:
        await world.forget()
    elif choice < 9:
        catalogue = rng.choice(world.catalogues)
        catalogue.stuck = rng.random() < 0.3
        await catalogue.advance()
    elif choice == 9:
        await world.active.refresh([f"u{n}" for n in range(world.viewers) if rng.random() < 0.5])
    elif choice == 10:
        world.now_ms += rng.choice([0, 0, 600_000, 7_200_000, 43_200_000])
    else:
        await _mishap(world)


async def _mishap(world):
    choice = world.rng.randrange(4)
    if choice == 0:
        world.start_again()
    elif choice == 1:
        await world.new_ledger()
    elif choice == 2:
        await world.inboxes.delete([f"u{world.rng.randrange(world.viewers)}"])
    else:
        world.inboxes.breaks = world.ledger.breaks = world.rng.choice([0, 0, 10])


async def history(world, rounds):
    """Rounds of people and processes at once; after each, when all is done, every page is right."""
    for _ in range(rounds):
        for _ in range(world.rng.randrange(15)):
            await _person_acts(world)
            acting = [_quietly(_process_acts(world)) for _ in range(world.rng.randrange(3))]
            acting += [_quietly(_looks(world, f"u{world.rng.randrange(world.viewers)}")) for _ in range(2)]
            await asyncio.gather(*acting)
        await world.settle()
        for viewer in world.follows:
            assert await world.pages(viewer) == world.oracle(viewer), (world.seed, viewer)


async def _looks(world, viewer):
    """Whatever is late, a page never holds what must not be shown."""
    below = None if world.rng.random() < 0.7 else (world.now_ms - world.rng.randrange(1_000_000), "v5")
    page = await world.page(viewer, below=below)
    may = set(world.shown(viewer))
    table = world.catalogues[1].table
    for _, video in page:
        row = table.row(video)
        assert table.visibility[row] == PUBLIC and table.authors.words[table.author[row]] in may
    assert page == sorted(set(page), reverse=True) and (below is None or page == [] or page[0] < below)


async def _quietly(act):
    with contextlib.suppress(Unavailable):
        await act


@pytest.mark.parametrize("seed", range(8))
def test_pages_equal_the_oracle_under_random_histories(tmp_path, seed):
    world = World(tmp_path, seed)
    lived(history(world, 12))
    # Not everything was pulled.
    ways = Counter(world.ways)
    assert ways[INBOX] + ways[MIXED] + ways[PULLED] > 20


async def _settled_pages(world, viewer):
    """Pages of a viewer who has an inbox of everything up to now, and which way the last one came."""
    await world.settle()
    await world.page(viewer)
    await world.settle()
    world.ways.clear()
    return await world.page(viewer, limit=3), world.ways[-1]


def test_an_author_of_few_followers_is_pushed_to_all_who_have_an_inbox(tmp_path):
    world = World(tmp_path, 0)

    async def story():
        world.follow("u0", "a0")
        world.follow("u1", "a0")
        world.publish("a0", video="v-old")
        await world.settle()
        assert await _settled_pages(world, "u0") == ([(START_MS, "v-old")], INBOX)
        world.now_ms += 1
        world.publish("a0", video="v-new")
        await world.settle()
        assert [video for _, video in await world.page("u0")] == ["v-new", "v-old"]
        # u1 has never looked: no inbox, no message
        assert [(told.recipient_id, told.video_id) for told in world.told] == [("u0", "v-new")]
        push = world.worker.metrics["push"]
        assert (push.videos, push.followers, push.inboxes) == (2, 4, 1)

    lived(story())


def test_tiers_rise_with_followers_and_fall_once_the_newest_videos_were_pushed(tmp_path):
    world = World(tmp_path, 0)

    async def tier():
        return (await world.ledger.rules(["a0"])).tiers[0].tier

    async def story():
        expected = []
        for followers, wanted in ((2, PUSH), (4, ACTIVE), (7, PULL)):
            for number in range(followers):
                if "a0" not in world.follows[f"u{number}"]:
                    world.follow(f"u{number}", "a0")
            await world.settle()
            world.now_ms += 1
            expected.insert(0, (world.now_ms, world.publish("a0")))
            await world.settle()
            assert await tier() == wanted
            assert await world.page("u0") == expected
        for number in range(1, 7):
            world.follow(f"u{number}", "a0", stands=False)
        await world.settle()
        assert await _settled_pages(world, "u0") == (expected, MIXED)
        world.now_ms += 1
        expected.insert(0, (world.now_ms, world.publish("a0")))
        await world.settle()
        assert (await tier(), world.worker.metrics["push"].lowered) == (PUSH, 1)
        assert await world.page("u0") == expected
        assert world.ways[-1] == INBOX

    lived(story())


def test_the_middle_tier_reaches_active_inboxes_and_everyone_else_pulls(tmp_path):
    world = World(tmp_path, 0)

    async def story():
        for number in range(4):
            world.follow(f"u{number}", "a0")
        await world.active.refresh(["u0", "u9"])
        first = world.publish("a0")
        await world.settle()
        for viewer, way in (("u0", INBOX), ("u1", MIXED)):
            assert await _settled_pages(world, viewer) == ([(START_MS, first)], way)
        world.now_ms += 1
        second = world.publish("a0")
        await world.settle()
        for viewer in ("u0", "u1"):
            assert [video for _, video in await world.page(viewer)] == [second, first]
        assert [told.recipient_id for told in world.told] == ["u0"]
        world.now_ms += 86_400_000  # the next date, in which u0 is not active
        await world.active.refresh(["u9"])
        third = world.publish("a0")
        await world.settle()
        assert [video for _, video in await world.page("u0")] == [third, second, first]

    lived(story())


def test_a_page_comes_from_the_catalogue_while_the_inboxes_are_away(tmp_path):
    world = World(tmp_path, 0)

    async def story():
        world.follow("u0", "a0")
        video = world.publish("a0")
        await world.settle()
        world.inboxes.breaks = 100
        assert await world.page("u0") == [(START_MS, video)]
        assert world.ways[-1] == AWAY

    lived(story())


def test_who_follows_again_sees_what_was_published_in_between(tmp_path):
    world = World(tmp_path, 0)

    async def story():
        world.follow("u0", "a0")
        world.publish("a0")
        await _settled_pages(world, "u0")
        world.follow("u0", "a0", stands=False)
        await world.settle()
        world.publish("a0")
        await world.settle()
        world.follow("u0", "a0")
        await world.settle()
        assert await world.pages("u0") == world.oracle("u0")
        assert len(world.oracle("u0")) == 2

    lived(story())


def test_an_author_is_taken_back_only_by_a_worker_who_knows_what_others_did_not_push(tmp_path):
    world = World(tmp_path, 0, FanoutConfig(push_below=2, active_up_to=1, inbox_videos=6))
    other = next(f"w{number}" for number in range(9) if partition_of(f"w{number}", 2) == 1)
    ours = next(f"v{number}" for number in range(9) if partition_of(f"v{number}", 2) == 0)

    async def story():
        world.follow("u0", "a0")
        world.publish("a0", video=ours)
        await _settled_pages(world, "u0")
        world.follow("u1", "a0")
        await world.relate()
        behind, other_worker = world.worker.catalogue, LateCatalogue(world.log)
        behind.stuck = True
        world.now_ms += 1
        world.publish("a0", video=other)
        world.worker.catalogue = other_worker
        await world.deliver(1)  # to nobody: two follow the author
        world.worker.catalogue = behind
        world.follow("u1", "a0", stands=False)
        await world.relate()
        again = world.offsets[0]
        await world.worker.deliver(0, again, again, {ours: again})
        assert (await world.ledger.rules(["a0"])).tiers[0].tier == PULL
        await world.catalogues[1].advance()
        assert [video for _, video in await world.page("u0")] == [other, ours]

    lived(story())


def test_thresholds_must_be_in_order():
    assert [FanoutConfig().tier(count) for count in (999, 1_000, 10_000, 10_001)] == [PUSH, ACTIVE, ACTIVE, PULL]
    with pytest.raises(ValueError, match="active_up_to"):
        FanoutConfig(push_below=10, active_up_to=5)
