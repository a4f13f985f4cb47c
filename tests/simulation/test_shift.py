"""The law `shifting`: on one judged day every viewer turns to other topics; else it is the plain law."""

import numpy as np

from simulation.history import LoggedHistory
from simulation.law import TOPICS
from simulation.world import World


def lived(law):
    world = World.build(1, users=400, videos=800, law=law, days=1)
    for _ in LoggedHistory(world, 1_000).hours():
        pass
    return world.copied()


def tastes_by_day(world, days):
    """Interests of the first viewers as each judged day begins, and as the history ended."""
    found = [world.viewers.interests[:400].copy()]
    for _ in range(days):
        world.advance()
        found.append(world.viewers.interests[:400].copy())
    return found


def test_everyone_turns_from_a_topic_to_the_same_other_one_on_the_second_judged_day():
    before, first, second, third = tastes_by_day(lived("shifting"), 3)
    turned = np.array([np.bincount(second[first == topic], minlength=TOPICS).argmax() for topic in range(TOPICS)])
    assert sorted(turned) == list(range(TOPICS)) and (turned != np.arange(TOPICS)).all()
    # Each day one viewer in a hundred swaps an interest as well.
    assert (turned[first] == second).mean() > 0.98
    for earlier, later in ((before, first), (second, third)):
        assert (earlier == later).mean() > 0.98


def test_until_the_shift_the_world_is_the_plain_one():
    plain, shifting = (tastes_by_day(lived(law), 2) for law in ("plain", "shifting"))
    assert np.array_equal(plain[1], shifting[1]) and not np.array_equal(plain[2], shifting[2])
