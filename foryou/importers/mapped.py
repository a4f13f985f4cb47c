"""Any CSV, Parquet or JSON Lines log, by a mapping."""

from pathlib import Path

from core.errors import InputError
from foryou.importers.catalogue import Catalogue, UserBuild, VideoBuild
from foryou.importers.job import Job
from foryou.importers.log_build import LogBuild
from foryou.importers.mapping import Columns, Mapping, Section, read_mapping
from foryou.importers.report import ImportReport, ImportStores, OnProgress, silent


async def import_events(file: Path, mapping: Path, stores: ImportStores, progress: OnProgress = silent) -> ImportReport:
    """Put a log of wide rows on the event log, as `mapping` (a YAML file, docs/importing.md) reads it.

    Raises InputError where a file or the mapping cannot be used; bad rows are set aside and counted.
    """
    plan = read_mapping(mapping)
    job = Job(stores, plan.name, progress)
    catalogue = Catalogue()
    if plan.users is not None:
        columns, traits = plan.users.columns, plan.users.traits
        users = UserBuild(stores.tables, columns, traits, utc_offset_h=plan.utc_offset_h)
        await job.file(_section(mapping, plan.users), users, _names(columns, traits), plan.name)
        job.report.users = len(users.ids)
    if plan.videos is not None:
        videos = VideoBuild(plan.name, plan.videos.columns, plan.utc_offset_h, catalogue)
        await job.file(_section(mapping, plan.videos), videos, _names(plan.videos.columns), plan.model_dump_json())
    await _import_log(job, file, plan, catalogue)
    job.report.videos = len(catalogue.authors)
    return job.finish()


async def _import_log(job: Job, file: Path, plan: Mapping, catalogue: Catalogue) -> None:
    stores = job.stores
    build = LogBuild(
        plan.name,
        plan,
        catalogue,
        stores.tables,
        stores.clock(),
        make_videos=True,
        make_users=plan.users is None,
    )
    await job.log(file, build, _names(plan.columns), plan.model_dump_json())
    if plan.users is None:
        job.report.users = len(build.users)


def _section(mapping: Path, section: Section) -> Path:
    path = mapping.parent / section.file
    if not path.is_file():
        raise InputError(f"The mapping {mapping} names {section.file} and there is no file {path}.")
    return path


def _names(columns: Columns, more: tuple[str, ...] = ()) -> tuple[str, ...]:
    """The columns of the file that are read."""
    names = [origin.column for origin in columns.values() if origin.column is not None]
    return tuple(dict.fromkeys((*names, *more)))
