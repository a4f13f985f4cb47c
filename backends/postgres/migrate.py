"""Makes and changes the tables: every step at most once, whoever starts it and how often."""

from pathlib import Path
from typing import Final

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from backends.postgres.database import REVISION, newer
from backends.postgres.errors import place_of, translated, url_of
from core.errors import SchemaMismatch
from core.settings import Settings

_LOCK: Final = 0x666F72796F75  # "foryou": the advisory lock under which one process at a time changes the tables
_CONNECT_S: Final = 5.0


async def migrate(settings: Settings) -> None:
    """Bring the tables to this build's revision, all steps or none; one process at a time, the others wait.

    Raises ConfigError, Unavailable, and SchemaMismatch when a newer build has changed them.
    """
    url = url_of(settings.postgres)
    engine = create_async_engine(url, poolclass=NullPool, connect_args={"timeout": _CONNECT_S})
    with translated(url):
        try:
            async with engine.begin() as connection:
                await connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_LOCK})")
                await connection.run_sync(_upgrade, settings, place_of(url))
        finally:
            await engine.dispose()


def _upgrade(connection: Connection, settings: Settings, place: str) -> None:
    found = _revision(connection)
    if found > REVISION:
        raise SchemaMismatch(newer(place, found))
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).with_name("migrations")).replace("%", "%%"))
    config.attributes["connection"] = connection
    config.attributes["follower_partitions"] = settings.postgres_follower_partitions
    command.upgrade(config, REVISION)


def _revision(connection: Connection) -> str:
    """The database's revision, "" when it has none yet."""
    if connection.exec_driver_sql("SELECT to_regclass('alembic_version')").scalar() is None:
        return ""
    return str(connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar() or "")
