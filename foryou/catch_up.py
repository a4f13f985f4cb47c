"""Brings catalogue, history and relations up to the end of the log in bulk, before a training run."""

from typing import TYPE_CHECKING

from core.ports import Record
from training.progress import Progress, silent

if TYPE_CHECKING:
    from foryou.stores import Stores

MARK, GROUP = "mark", "read-models"
_BATCH = 20_000


async def catch_up(stores: "Stores", progress: Progress = silent) -> int:
    """Apply what lies beyond the last bulk or stream application; the number of records.

    The mark of how far it came is written with the effects, so that the two are lost or kept together.
    """
    applied = await stores.features.applied_offset()
    mark = (await stores.features.read(MARK, [GROUP]))[0]
    done = max(int(mark) if mark else 0, applied)
    start, end = done, await stores.log.end()
    while done < end:
        records: list[Record] = await stores.log.read(done, _BATCH)
        if not records:
            break
        done = records[-1].offset
        with stores.transaction():
            await stores.videos.apply(records)
            await stores.history.record(records)
            await stores.tables.relate(records)
            await stores.features.write({MARK: {GROUP: str(done).encode()}}, applied)
        progress("catalogue and history", done - start, end - start)
    return done - start
