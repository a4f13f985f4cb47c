"""A serving process of benchmarks/sessions.py: `python -m benchmarks._sessions_server HOME PORT`.

It is the product with fewer candidates: what the benchmark checks does not depend on how many are ranked.
"""

import sys

from core.settings import Settings
from feeds.config import ForYouConfig
from foryou.bootstrap import open_product
from serving.event_loop import run
from serving.server import bind, serve_here

FEW = ForYouConfig(
    two_tower_quota=80, item_to_item_quota=20, als_quota=0, ease_quota=0, blend_quota=0, fresh_quota=40,
    popular_quota=40, promising_quota=40, new_video_quota=10, pre_rank_keep=100,
)  # fmt: skip


async def main(home, port):
    """Until SIGTERM."""
    settings = Settings(home=home, port=port)
    with bind(settings) as listener:
        product = await open_product(settings, config=FEW)
        try:
            await serve_here(product.app(), settings, listener)
        finally:
            await product.stores.let_go()


if __name__ == "__main__":
    run(main(*sys.argv[1:]))
