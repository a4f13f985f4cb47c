"""A load for the social tables: one log that many tasks deliver out of order and more than once, and comments."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg

from backends.postgres.comments import PostgresComments
from backends.postgres.database import PostgresDatabase
from backends.postgres.social import PostgresLikes, PostgresTotals
from backends.postgres.tables import PostgresTables
from core.errors import NotFound, Unavailable
from core.ports import Record
from core.settings import Settings
from core.social import CommentLike, CommentRecord
from tests.contracts.events import DAY_MS, records
from tests.contracts.likes import VIDEOS, Social, random_event

# Each gives the rows whose counter differs from a recount.
_WRONG = {
    "users": """
        SELECT user_id FROM users u WHERE (follower_count, following_count, video_count, total_likes) <> (
            (SELECT count(*) FROM followers WHERE following_user_id = u.user_id AND stands),
            (SELECT count(*) FROM followers WHERE follower_user_id = u.user_id AND stands),
            (SELECT count(*) FROM videos WHERE author_id = u.user_id AND NOT removed),
            (SELECT count(*) FROM likes JOIN videos USING (video_id)
             WHERE author_id = u.user_id AND NOT removed AND stands))""",
    "videos": """
        SELECT video_id FROM videos v WHERE (like_count, comment_count) <> (
            (SELECT count(*) FROM likes WHERE video_id = v.video_id AND stands),
            (SELECT count(*) FROM comments WHERE video_id = v.video_id AND deleted_at IS NULL))""",
    "comments": """
        SELECT comment_id FROM comments c WHERE (like_count, reply_count) <> (
            (SELECT count(*) FROM comment_likes WHERE comment_id = c.comment_id AND stands),
            (SELECT count(*) FROM comments WHERE parent_comment_id = c.comment_id AND deleted_at IS NULL))""",
}


def made_log(seed: int, length: int) -> list[Record]:
    """The log, the same for every process."""
    rng = random.Random(seed)
    return records(*(random_event(rng, number) for number in range(length)))


def deliver(url: str, seed: int, length: int, tasks: range, of: int) -> int:
    """One process: those of the `of` tasks that are its own; how many statements it ran."""
    return asyncio.run(_deliver(PostgresDatabase(Settings(postgres=url)), seed, length, tasks, of))


async def _deliver(database: PostgresDatabase, seed: int, length: int, tasks: range, of: int) -> int:
    log = made_log(seed, length)
    counts = await asyncio.gather(*(one_task(database, log, random.Random(seed * 1_000 + t), t, of) for t in tasks))
    await database.close()
    return sum(counts)


async def one_task(database: PostgresDatabase, log: list[Record], rng: random.Random, task: int, of: int) -> int:
    """Every `of`-th record of the log and a third of the rest, shuffled, in batches; comments between them.

    What the server does not answer is tried again until it does.
    """
    social = Social(PostgresTables(database), PostgresLikes(database), PostgresTotals(database))
    comments = PostgresComments(database)
    ours = [record for record in log if record.offset % of == task or rng.random() < 0.3]
    rng.shuffle(ours)
    statements = 0
    while ours:
        size = rng.randint(1, 40)
        batch, ours = ours[:size], ours[size:]
        await until_it_answers(lambda batch=batch: social.apply(batch))  # type: ignore[misc]
        act = _comment_act(comments, rng)
        await until_it_answers(act)
        statements += 4
    return statements


async def until_it_answers(act: Callable[[], Awaitable[Any]]) -> list[Unavailable]:
    """Do it, again and again while the server is away; what was said meanwhile."""
    said: list[Unavailable] = []
    while True:
        try:
            await act()
            return said
        except NotFound:
            return said  # a comment that nobody has written yet
        except Unavailable as error:
            said.append(error)
            await asyncio.sleep(0.05)


def _comment_act(comments: PostgresComments, rng: random.Random) -> Callable[[], Awaitable[None]]:
    """Write, reply, delete or like one of few comments, whose ids say everything about them."""
    number, time_ms = rng.randrange(60), DAY_MS + rng.randrange(100)
    name = f"c{number}"
    kind = rng.choice(("add", "add", "delete", "like", "like"))
    if kind == "like":
        like = CommentLike(user_id=f"u{rng.randrange(8)}", comment_id=name, time_ms=time_ms, stands=rng.random() < 0.6)
        return lambda: comments.like(like)
    if kind == "delete" and number % 3 == 0:
        return lambda: comments.delete(name, time_ms)
    parent = f"c{number // 4 - number // 4 % 4}" if number >= 20 else ""
    video = VIDEOS[number % 4] if not parent else VIDEOS[int(parent[1:]) % 4]
    comment = CommentRecord(
        comment_id=name, video_id=video, user_id="u1", content="Yes.", time_ms=DAY_MS, parent_id=parent
    )
    return lambda: comments.add(comment)


async def wrong_counts(url: str) -> dict[str, list[str]]:
    """The rows whose counters differ from a recount, by table."""
    connection = await asyncpg.connect(url)
    try:
        return {table: [row[0] for row in await connection.fetch(sql)] for table, sql in _WRONG.items()}
    finally:
        await connection.close()


async def deadlocks(url: str) -> int:
    """How often the server has had to end a statement of this database because two waited for each other."""
    connection = await asyncpg.connect(url)
    try:
        sql = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
        return int(await connection.fetchval(sql))
    finally:
        await connection.close()


async def sizes(url: str) -> dict[str, int]:
    """Rows of each table, so that a recount of nothing is noticed."""
    connection = await asyncpg.connect(url)
    try:
        tables = ("followers", "likes", "comments", "comment_likes", "videos")
        return {table: await connection.fetchval(f"SELECT count(*) FROM {table}") for table in tables}
    finally:
        await connection.close()
