"""Following: capped feed writes against redis-py's own pipeline, what push and pull cost, how soon all can read.

    python -m benchmarks.fanout [--viewers 4000] [--rounds 9] [--no-kafka]

1. One video into inboxes that are full, on one Redis and on a cluster of three, both ways by turns.
2. What a follower costs whose inbox is pushed to, and a reader who pulls an author: the curve behind the thresholds.
3. A video of an author with a million followers: from its appending to Kafka until each sampled follower's page has it.
"""

import argparse
import asyncio
import json
import platform
import random
import statistics
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np

from backends.redis.nodes import Nodes
from benchmarks._fanout_million import until_readable
from benchmarks._fanout_ways import Plain, by_turns, product, same
from core.events import VideoPublished
from core.video_table import VideoTable
from deploy.redis_cluster import RedisCluster
from deploy.stack import Stack
from feeds.author_rows import AuthorRows

AUTHORS, VIDEOS = 5_000, 200_000
READS_A_DAY, ACTIVE_SHARE = 20, 0.05


def main() -> None:
    """Start servers, run, check, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--viewers", type=int, default=4_000)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--no-kafka", action="store_true", help="leave the third part out")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="foryou-bench-") as folder:
        stack, cluster = Stack(Path(folder) / "stack"), RedisCluster(Path(folder) / "cluster")
        try:
            one = stack.up(["redis"]).redis
            three = f"redis://127.0.0.1:{cluster.up()[0]}"
            print(f"Python {platform.python_version()} redis-py {version('redis')} hiredis {version('hiredis')}\n")
            line = {"benchmark": "fanout"}
            for name, url, is_cluster in (("one", one, False), ("cluster", three, True)):
                line |= asyncio.run(writes(name, url, is_cluster, options.viewers, options.rounds))
            line |= curve(1e6 / line["one_writes_s"])
            if not options.no_kafka:
                addresses = stack.up(["kafka", "redis"])
                line |= asyncio.run(until_readable(addresses, Path(folder) / "million"))
            line["ratio"] = min(line["one_ratio"], line["cluster_ratio"])
            print(json.dumps({key: round(x, 2) if isinstance(x, float) else x for key, x in line.items()}))
        finally:
            cluster.remove()
            stack.remove()


async def writes(name: str, url: str, is_cluster: bool, viewers: int, rounds: int) -> dict[str, float]:
    """Part 1 on one kind of server."""
    ids = [f"u{number}" for number in range(viewers)]
    plain, nodes = Plain(url, is_cluster), Nodes(url, cluster=is_cluster)
    plain.fill(ids)
    inboxes = await product(nodes, ids)
    await by_turns(plain, inboxes, ids[:100], 2)  # connections, scripts
    spent = await by_turns(plain, inboxes, ids, rounds)
    await same(plain, inboxes, random.Random(1).sample(ids[100:], 200))
    await nodes.close()
    wall = {way: statistics.median(one[0] for one in times) for way, times in spent.items()}
    own = {way: statistics.median(one[1] for one in times) for way, times in spent.items()}
    print(f"{viewers:,} inboxes at the cap, {rounds} videos, {'a cluster of three' if is_cluster else 'one Redis'}")
    print(f"{'':10}{'writes/s':>12}{'client us/write':>18}")
    for way in wall:
        print(f"{way:10}{viewers / wall[way]:12,.0f}{1e6 * own[way] / viewers:18.2f}")
    print(f"{wall['redis-py'] / wall['product']:.1f} times as many writes a second\n")
    return {
        f"{name}_ratio": wall["redis-py"] / wall["product"],
        f"{name}_writes_s": viewers / wall["product"],
        f"{name}_redis_py_writes_s": viewers / wall["redis-py"],
        f"{name}_client_ratio": own["redis-py"] / own["product"],
    }


def curve(push_us: float) -> dict[str, float]:
    """Part 2: one more follower to push to, and one more author to pull, in microseconds; what follows from them."""
    table, rng = VideoTable(VIDEOS), np.random.default_rng(1)
    for number, author in enumerate(rng.integers(0, AUTHORS, VIDEOS).tolist()):
        table.publish(
            VideoPublished(
                event_id="e", viewer_id="a", time_ms=1, video_id=f"v{number}", author_id=f"a{author}", length_ms=1_000,
                upload_ms=1_700_000_000_000 + number,
            )
        )  # fmt: skip
    rows = AuthorRows(table)
    print(f"a page of 20, pulled from {VIDEOS:,} videos of {AUTHORS:,} authors")
    pulls = {follows: pulled_us(rows, rng, follows) for follows in (1, 10, 100, 500)}
    for follows, spent_us in pulls.items():
        print(f"{follows:6} authors {spent_us:10.0f} us")
    author_us = (pulls[500] - pulls[10]) / 490
    print(f"\na push costs {push_us:.1f} us a follower, a pull {author_us:.2f} us an author in each page")
    print(f"{'followers':>10}{'push to all':>14}{'to active':>12}{'pulls of a day':>16}   seconds")
    for followers in (100, 1_000, 10_000, 100_000, 1_000_000):
        pushed = followers * push_us / 1e6
        pulled = followers * ACTIVE_SHARE * READS_A_DAY * author_us / 1e6
        print(f"{followers:10,}{pushed:14.4f}{pushed * ACTIVE_SHARE:12.4f}{pulled:16.4f}")
    print(f"{ACTIVE_SHARE:.0%} of followers are active and read {READS_A_DAY} pages a day; one video a day\n")
    return {"push_us": push_us, "pull_author_us": author_us, "pull_500_us": pulls[500]}


def pulled_us(rows: AuthorRows, rng: np.random.Generator, follows: int) -> float:
    """Microseconds of a pull over so many authors, the median of 60."""
    times = []
    for _ in range(60):
        authors = rng.choice(np.arange(1, AUTHORS, dtype=np.int32), follows, replace=False)
        began = time.perf_counter()
        rows.newest(authors, 21)
        times.append(1e6 * (time.perf_counter() - began))
    return statistics.median(times)


if __name__ == "__main__":
    main()
