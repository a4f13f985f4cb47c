"""What PostgreSQL refuses: each a sentence of its own kind, in time, and never with the password."""

import asyncio
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.exc import ProgrammingError

from backends.postgres.database import PostgresConfig, PostgresDatabase
from backends.postgres.migrate import migrate
from backends.postgres.tables import PostgresTables
from core.catalogue import ViewerRecord
from core.errors import ConfigError, CorruptData, ForyouError, InputError, StorageFull, Unavailable
from core.events import Follow
from core.settings import Settings
from tests.contracts.events import records
from tests.contracts.one_loop import Run
from tests.integration.postgres_databases import Databases, OnPostgres
from tests.integration.postgres_load import until_it_answers


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

    def test_sslmode_is_the_only_parameter_of_the_url(self, run: Run, databases: Databases) -> None:
        settings = run(databases.made())
        run(databases.open(Settings(postgres=f"{settings.postgres}?sslmode=disable")).check())
        with pytest.raises(Unavailable, match="SSL"):  # the test's server has no certificate
            run(databases.open(Settings(postgres=f"{settings.postgres}?sslmode=require")).check())
        with pytest.raises(ConfigError, match="'foo'"):
            PostgresDatabase(Settings(postgres=f"{settings.postgres}?foo=bar"))

    def test_a_server_that_is_not_there_is_told_at_once(self, run: Run, databases: Databases) -> None:
        database = databases.open(Settings(postgres="postgresql://foryou:foryou@127.0.0.1:1/foryou"))
        with pytest.raises(Unavailable, match=r"127\.0\.0\.1:1/foryou does not answer"):
            run(PostgresTables(database).users(["ann"]))

    def test_an_id_that_is_no_text_is_refused_and_the_next_batch_goes_through(
        self, run: Run, databases: Databases, tmp_path: Path
    ) -> None:
        tables = PostgresTables(run(databases.for_folder(tmp_path)))
        with pytest.raises(InputError, match="offset 1 "):
            run(tables.relate(records(Follow(event_id="f", viewer_id="a\0", author_id="bo", time_ms=1))))
        run(tables.put_users([ViewerRecord(user_id="ann")]))
        assert run(tables.users(["ann"])) == [ViewerRecord(user_id="ann")]


class TestAnswers(OnPostgres):
    @pytest.mark.parametrize(
        ("state", "kind", "words"),
        [
            ("53100", StorageFull, "No space is left"),
            ("53300", Unavailable, "does not answer"),
            ("57P03", Unavailable, "does not answer"),
            ("40001", Unavailable, "in the way"),
            ("XX001", CorruptData, "damaged pages"),
            ("42501", ConfigError, "refuses user"),
            ("22003", InputError, "cannot store"),
        ],
    )
    def test_each_kind_of_failure_has_its_sentence(
        self, run: Run, databases: Databases, tmp_path: Path, state: str, kind: type[ForyouError], words: str
    ) -> None:
        database = run(databases.for_folder(tmp_path))
        with pytest.raises(kind, match=words) as raised:
            run(database.write(f"DO $$ BEGIN RAISE EXCEPTION 'so it is' USING ERRCODE = '{state}'; END $$"))
        assert raised.type is kind
        assert raised.value.__cause__ is not None

    def test_a_statement_that_is_wrong_is_a_bug_and_passes_unchanged(
        self, run: Run, databases: Databases, tmp_path: Path
    ) -> None:
        with pytest.raises(ProgrammingError):
            run(run(databases.for_folder(tmp_path)).read("SELECT no_such_function()"))

    def test_a_lost_race_is_run_again(self, run: Run, databases: Databases, tmp_path: Path) -> None:
        database = run(databases.for_folder(tmp_path))
        run(database.write("CREATE SEQUENCE tries"))  # which an undone transaction does not set back
        run(
            database.write(
                "DO $$ BEGIN IF nextval('tries') < 4 THEN"
                " RAISE EXCEPTION 'lost' USING ERRCODE = '40P01'; END IF; END $$"
            )
        )
        assert run(database.read("SELECT last_value FROM tries"))[0][0] == 4

    def test_a_read_only_server_is_told_as_an_outage(self, run: Run, databases: Databases) -> None:
        settings = run(databases.made())
        name = settings.postgres.rpartition("/")[2]
        run(databases.execute(f'ALTER DATABASE "{name}" SET default_transaction_read_only = on'))
        with pytest.raises(Unavailable, match="takes no writes"):
            run(PostgresTables(databases.open(settings)).put_users([ViewerRecord(user_id="ann")]))

    def test_a_statement_ends_when_its_time_is_over_and_frees_its_connection(self, run: Run) -> None:
        databases = Databases(self.made.server, PostgresConfig(pool_size=1, read_s=0.4, write_s=0.6))
        run(self._ends_in_time(databases))
        run(databases.close())

    async def _ends_in_time(self, databases: Databases) -> None:
        database = databases.open(await databases.made())
        await until_it_answers(database.check)
        for most, ask in ((0.4, database.read), (0.6, database.write)):
            began = time.monotonic()
            with pytest.raises(Unavailable, match=r"within|does not answer"):
                await ask("SELECT pg_sleep(20)")
            assert time.monotonic() - began < most + 1.0
            await until_it_answers(lambda: database.read("SELECT 1"))


async def _refusal(database: PostgresDatabase) -> BaseException | None:
    call: Coroutine[Any, Any, None] = database.check()
    return (await asyncio.gather(call, return_exceptions=True))[0]
