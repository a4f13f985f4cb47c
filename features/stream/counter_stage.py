"""The second stage: foryou.counts -> rows of videos, authors and trends; one writer for each."""

import asyncio
from collections.abc import Sequence
from typing import Final

from core.errors import CorruptData, NotFound, SchemaMismatch, Unavailable
from core.log import Entry, Message
from core.topics import COUNTS, VIDEO_STATE
from features.layout import COUNTS_DTYPE
from features.stream.counters import apply_counts, entity_counts, entity_id, entity_row, fresh_counts
from features.stream.kept_state import KeptConfig, KeptState, Places
from features.stream.lane import Reject, StageMetrics, beyond, unhurried
from features.stream.messages import CounterRow, CountsBatch, decode_batch, encode_row
from features.stream.viewer_stage import Inlet

# Where the watermarks keep the offset up to which rows were published; sources are 0 and above.
_PUBLISHED: Final = -1
_PAGE: Final = 1_000
_SENT_AT_ONCE: Final = 200  # rows of video.state; a viewer's events wait while they are handed to the driver


class CounterWork:
    """Counts one partition of foryou.counts into its counters, and publishes their rows for the hosts."""

    def __init__(self, partition: int, inlet: Inlet, places: Places, metrics: StageMetrics, config: KeptConfig) -> None:
        self.partition, self._inlet, self._metrics, self._config = partition, inlet, metrics, config
        self._kept = KeptState(places, f"counter-{partition}", f"counter:{partition}", split_key, COUNTS_DTYPE, config)
        self._watermarks: dict[int, int] = {}
        self._unpublished: dict[str, bytes] = {}
        self._due_s = 0.0

    async def open(self) -> int | None:
        """Load the newest state; the offset that it includes."""
        held = (await self._inlet.log.bounds(COUNTS))[self.partition]
        offset, watermarks = await self._kept.open(held)
        self._due_s = asyncio.get_running_loop().time() + self._config.publish_every_s
        self._published = watermarks.pop(_PUBLISHED, 0)
        self._watermarks = watermarks
        self._behind = self._published < offset
        return offset

    async def apply(self, entries: Sequence[Entry], reject: Reject) -> None:
        """Rows and offset of these batches, durably; rows that were counted before are passed over."""
        entries = beyond(self._kept.offset, entries)
        if not entries:
            return
        batches = await self._countable(await self._decoded(entries, reject), entries, reject)
        fresh = fresh_counts(batches, self._watermarks)
        table, offset = self._inlet.catalogue.table, entries[-1].offset
        names = [f"{entity}:{entity_id(table, entity, row)}" for entity, row in fresh.entities]
        with self._kept.changing(names) as (records, places):
            apply_counts(fresh, records, places, self._inlet.clock() * 1000)
            stored = self._kept.pack(names, records, places)
            await self._kept.online.write(stored, offset)
            await self._kept.commit(stored, offset, watermarks={**fresh.watermarks, _PUBLISHED: self._published})
        self._watermarks = fresh.watermarks
        self._unpublished.update((key, raw) for key, _, raw in stored)
        if batches:
            self._metrics.stale_ms = self._inlet.clock() - batches[-1][1].applied_us // 1000

    async def tick(self) -> None:
        """Snapshots; and publications, where the last ones are long enough ago."""
        now_s = asyncio.get_running_loop().time()
        if now_s >= self._due_s:
            self._due_s = now_s + self._config.publish_every_s
            await self._publish()
        await self._kept.tick()

    async def close(self) -> None:
        """Publish what is left, and let the file go; what cannot be published now, the next owner publishes."""
        try:
            if self._kept.state is not None:
                await self._publish()
                self._kept.note({_PUBLISHED: self._published})
        except Unavailable as error:
            self._metrics.outage(self._kept.name, error)
        finally:
            await self._kept.close()

    async def _decoded(self, entries: Sequence[Entry], reject: Reject) -> list[tuple[int, CountsBatch]]:
        batches = []
        for entry in entries:
            try:
                batch = decode_batch(entry.value)
                batch.columns()
            except SchemaMismatch:
                raise  # set aside it would never count: what comes after it moves its source's watermark on
            except CorruptData as error:
                await reject(entry, error.sentence)
            else:
                batches.append((entry.offset, batch))
        return batches

    async def _countable(
        self, batches: list[tuple[int, CountsBatch]], entries: Sequence[Entry], reject: Reject
    ) -> list[tuple[int, CountsBatch]]:
        """The batches that name nothing but what there is, once the catalogue is as far as they say."""
        catalogue, by_offset, kept = self._inlet.catalogue, {entry.offset: entry for entry in entries}, []
        for offset, batch in batches:
            try:
                await catalogue.advance(batch.catalogue_offset or catalogue.offset)
                fault = batch.fault(entity_counts(catalogue.table))
            except NotFound as error:
                fault = error.sentence
            if fault:
                await reject(by_offset[offset], fault)
            else:
                kept.append((offset, batch))
        return kept

    async def _publish(self) -> None:
        """Put changed rows on video.state, each once."""
        if self._behind:
            await self._publish_stored()
        keys, offset = list(self._unpublished), self._kept.offset
        for start in range(0, len(keys), _SENT_AT_ONCE):
            part = {key: self._unpublished[key] for key in keys[start : start + _SENT_AT_ONCE]}
            await self._send(part)
            for key, raw in part.items():
                if self._unpublished.get(key) is raw:
                    del self._unpublished[key]
        self._published = offset

    async def _publish_stored(self) -> None:
        """What an earlier owner counted and may not have published."""
        assert self._kept.state is not None
        await self._inlet.catalogue.advance()
        after = 0
        while page := await unhurried(asyncio.to_thread(self._kept.state.rows_since, self._published, after, _PAGE)):
            after = page[-1][0]
            await self._send({key: raw for _, key, raw in page})
        self._behind = False

    async def _send(self, rows: dict[str, bytes]) -> None:
        table, messages = self._inlet.catalogue.table, []
        for key, raw in rows.items():
            entity, name = split_key(key)
            row = CounterRow(entity=entity, row=entity_row(table, entity, name), packed=raw)
            messages.append(Message(key, encode_row(row)))
        await self._inlet.log.append(VIDEO_STATE, messages)


def split_key(key: str) -> tuple[str, str]:
    """The entity and the id of a counter's key, "video:<id>"."""
    entity, _, name = key.partition(":")
    return entity, name
