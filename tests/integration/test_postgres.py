"""PostgreSQL keeps the contracts of Tables, Likes, Comments and Totals; its tables are made once, whoever begins."""

import asyncio
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from backends.postgres.comments import PostgresComments
from backends.postgres.database import REVISION, PostgresDatabase
from backends.postgres.migrate import migrate
from backends.postgres.social import PostgresLikes, PostgresTotals
from backends.postgres.tables import PostgresTables
from core.catalogue import ViewerRecord
from core.errors import ConfigError, InputError, SchemaMismatch, Unavailable
from core.events import Follow
from core.ports import Tables
from core.settings import Settings
from tests.contracts.comments import CommentsContract, Talk
from tests.contracts.events import records
from tests.contracts.likes import LikesContract, Social
from tests.contracts.one_loop import OneLoop, Run
from tests.contracts.tables import TablesContract
from tests.integration import servers
from tests.integration.postgres_databases import Databases


class OnPostgres(OneLoop):
    """Databases of the shared server."""

    @pytest.fixture(autouse=True)
    def databases(self) -> Databases:
        self.made = Databases(servers.require("postgres").postgres)
        return self.made

    async def close(self) -> None:
        await self.made.close()


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


class TestSettings(OnPostgres):
    def test_a_wrong_password_is_a_wrong_setting(self, run: Run, databases: Databases) -> None:
        url = databases.url("foryou").replace("foryou:foryou@", "foryou:secret-mistake@")
        error = run(_refusal(databases.open(Settings(postgres=url))))
        assert isinstance(error, ConfigError)
        assert "FORYOU_POSTGRES" in error.sentence
        assert "secret-mistake" not in error.sentence

    def test_a_missing_database_says_what_to_run(self, run: Run, databases: Databases) -> None:
        settings = Settings(postgres=databases.url("nobody_made_this"))
        for begin in (databases.open(settings).check(), migrate(settings)):
            with pytest.raises(ConfigError, match="createdb, then run `foryou stack init`"):
                run(begin)

    def test_a_database_without_tables_says_what_to_run(self, run: Run, databases: Databases) -> None:
        database = databases.open(run(databases.empty()))
        with pytest.raises(ConfigError, match="run `foryou stack init`"):
            run(PostgresTables(database).relations("ann"))

    @pytest.mark.parametrize("url", ["nonsense", "mysql://a@b/c", "postgresql://host:5432", "postgresql://h:port/db"])
    def test_what_is_no_url_is_refused_with_an_example(self, url: str) -> None:
        with pytest.raises(ConfigError, match="postgresql://user:password@host:5432/database"):
            PostgresDatabase(Settings(postgres=url))

    def test_a_server_that_is_not_there_is_told_at_once(self, run: Run, databases: Databases) -> None:
        database = databases.open(Settings(postgres="postgresql://foryou:foryou@127.0.0.1:1/foryou"))
        with pytest.raises(Unavailable, match=r"127\.0\.0\.1:1/foryou does not answer"):
            run(PostgresTables(database).users(["ann"]))

    def test_an_id_that_is_no_text_is_refused_and_the_next_batch_goes_through(
        self, run: Run, databases: Databases, tmp_path: Path
    ) -> None:
        tables = PostgresTables(run(databases.for_folder(tmp_path)))
        with pytest.raises(InputError, match="cannot store"):
            run(tables.relate(records(Follow(event_id="f", viewer_id="a\0", author_id="bo", time_ms=1))))
        run(tables.put_users([ViewerRecord(user_id="ann")]))
        assert run(tables.users(["ann"])) == [ViewerRecord(user_id="ann")]


async def _on(settings: Settings, sql: str) -> None:
    connection = await asyncpg.connect(settings.postgres)
    await connection.execute(sql)
    await connection.close()


async def _refusal(database: PostgresDatabase) -> BaseException | None:
    call: Coroutine[Any, Any, None] = database.check()
    return (await asyncio.gather(call, return_exceptions=True))[0]
