"""A replica whose pages come from a rung below the full one: `python -m benchmarks._ladder_server RUNG serve ...`.

The rungs above it are left out as if each had failed, so that the time of every rung can be measured on real stores.
"""

import sys

from feeds.ladder import FULL, LAST_PAGE, Ladder
from feeds.ranked_remainder import Remainders
from foryou.cli import main

RUNGS = (FULL, "cached", "trending", LAST_PAGE)


def leave_out(first):
    """No page is cut or ranked, and no rung above `first` is asked."""
    usual = Ladder.page

    async def page(ladder, query, surface, begun_ns, shown):
        ladder.rungs = [rung for rung in ladder.rungs if RUNGS.index(rung.name) >= RUNGS.index(first)]
        return await usual(ladder, query, surface, begun_ns, shown)

    async def nothing(remainders, query, surface, signals):
        return None

    Ladder.page, Ladder._full, Remainders.cut = page, lambda ladder, *_: ladder.failed(FULL), nothing


if __name__ == "__main__":
    leave_out(sys.argv.pop(1))
    main()
