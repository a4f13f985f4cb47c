"""How long a request waits for its parts."""

import asyncio

from feeds.hydrate import Patience


def test_a_part_that_is_late_again_and_again_is_hardly_waited_for_until_it_is_well():
    async def told():
        patience = Patience(late_times=3, short_share=0.1, probe_every_s=0.05)
        limits = []
        for _ in range(5):
            limits.append(round(patience.limit_s("seen", 0.2), 3))
            patience.late("seen")
        assert patience.limit_s("profile", 0.2) == 0.2
        await asyncio.sleep(0.06)
        limits.append(patience.limit_s("seen", 0.2))
        patience.in_time("seen")
        limits.append(patience.limit_s("seen", 0.2))
        return limits

    # three times in full; then one full look, which is late again, and short ones until the next look is due
    assert asyncio.run(told()) == [0.2, 0.2, 0.2, 0.2, 0.02, 0.2, 0.2]


def test_a_breaker_tells_when_it_opens_and_when_it_closes():
    told = []
    patience = Patience(late_times=2, turned=lambda part, opened: told.append((part, opened)))
    for _ in range(3):
        patience.late("seen")
    patience.late("features")
    patience.in_time("features")
    patience.in_time("seen")
    patience.in_time("seen")
    assert told == [("seen", True), ("seen", False)]
