"""PostgreSQL keeps the contracts of Tables, Likes, Comments and Totals; its tables are made once, whoever begins."""

import asyncio
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from backends.postgres.comments import PostgresComments
from backends.postgres.database import REVISION
from backends.postgres.migrate import migrate
from backends.postgres.social import PostgresLikes, PostgresTotals
from backends.postgres.tables import PostgresTables
from core.errors import ConfigError, SchemaMismatch
from core.ports import Tables
from core.settings import Settings
from tests.contracts.comments import CommentsContract, Talk
from tests.contracts.likes import LikesContract, Social
from tests.contracts.one_loop import Run
from tests.contracts.tables import TablesContract
from tests.integration.postgres_databases import Databases, OnPostgres


class TestPostgresTables(OnPostgres, TablesContract):
    async def open_tables(self, folder: Path) -> Tables:
        return PostgresTables(await self.made.for_folder(folder))


class TestPostgresLikes(OnPostgres, LikesContract):
    async def open_social(self, folder: Path) -> Social:
        database = await self.made.for_folder(folder)
        return Social(PostgresTables(database), PostgresLikes(database), PostgresTotals(database))


class TestPostgresComments(OnPostgres, CommentsContract):
    async def open_talk(self, folder: Path) -> Talk:
        database = await self.made.for_folder(folder)
        return Talk(PostgresComments(database), PostgresTotals(database))


class TestMigrations(OnPostgres):
    def test_processes_that_start_at_once_make_the_tables_once(self, run: Run, databases: Databases) -> None:
        async def begin() -> list[Any]:
            settings = await databases.empty(follower_partitions=3)
            await asyncio.gather(*(migrate(settings) for _ in range(4)))
            await migrate(settings)
            connection = await asyncpg.connect(settings.postgres)
            rows = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1")
            await connection.close()
            return [row[0] for row in rows]

        assert run(begin()) == [
            "alembic_version", "comment_likes", "comments", "followers", "followers_0", "followers_1", "followers_2",
            "likes", "relations", "users", "videos",
        ]  # fmt: skip

    def test_the_statements_need_the_newest_step(self) -> None:
        from alembic.config import Config
        from alembic.script import ScriptDirectory

        config = Config()
        config.set_main_option("script_location", "backends/postgres/migrations")
        assert ScriptDirectory.from_config(config).get_heads() == [REVISION]

    def test_a_database_of_a_newer_build_is_refused(self, run: Run, databases: Databases) -> None:
        settings = run(databases.made())
        run(_on(settings, "UPDATE alembic_version SET version_num = '9999'"))
        for begin in (migrate(settings), databases.open(settings).check()):
            with pytest.raises(SchemaMismatch, match=r"revision 9999.*newer build"):
                run(begin)

    def test_a_database_of_an_older_build_says_what_to_run(self, run: Run, databases: Databases) -> None:
        settings = run(databases.made())
        run(_on(settings, "UPDATE alembic_version SET version_num = '0000'"))
        with pytest.raises(ConfigError, match="foryou stack init"):
            run(databases.open(settings).check())

    def test_a_migration_that_fails_leaves_nothing_behind(self, run: Run, databases: Databases) -> None:
        settings = run(databases.empty())
        run(_on(settings, "CREATE TABLE followers_2 (taken int)"))
        with pytest.raises(Exception, match="followers_2"):
            run(migrate(settings))
        run(_on(settings, "DROP TABLE followers_2"))
        run(migrate(settings))
        run(databases.open(settings).check())


async def _on(settings: Settings, sql: str) -> None:
    connection = await asyncpg.connect(settings.postgres)
    await connection.execute(sql)
    await connection.close()
