"""Brings catalogue, history and relations up to the end of the log in bulk, before a training run."""

from core.ports import Record
from foryou.stores import Stores
from training.progress import Progress, silent

GROUP = "read-models"
_BATCH = 20_000


async def catch_up(stores: Stores, progress: Progress = silent) -> int:
    """Apply what lies beyond the last bulk or stream application; the number of records."""
    done = max(await stores.log.committed(GROUP), await stores.features.applied_offset())
    start, end = done, await stores.log.end()
    while done < end:
        records: list[Record] = await stores.log.read(done, _BATCH)
        if not records:
            break
        with stores.transaction():
            await stores.videos.apply(records)
            await stores.history.record(records)
            await stores.tables.relate(records)
        done = records[-1].offset
        await stores.log.commit(GROUP, done)
        progress("catalogue and history", done - start, end - start)
    return done - start
