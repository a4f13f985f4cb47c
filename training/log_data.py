"""The whole log in the form that training needs."""

from dataclasses import dataclass

import numpy as np

from candidate_gen.interactions import Interactions
from core.arrays import Array
from core.ports import EventReader, Tables, VideoStore
from core.room import MEMORY, Room
from core.video_table import Vocabulary
from features.batch import BatchDriver
from features.columns import EventColumns, read_columns
from features.state import FeatureState
from features.words import Words
from feeds.tower_pair import tower_profile


@dataclass(slots=True)
class LogData:
    """Catalogue, feature state, the batch driver over all events, and the offset that they reach."""

    state: FeatureState
    driver: BatchDriver
    surfaces: Vocabulary
    applied_offset: int
    _watches: Interactions | None = None

    @property
    def events(self) -> EventColumns:
        """All viewer events."""
        return self.driver.events

    def interactions(self) -> Interactions:
        """Every viewer's watches in time order, with profile codes."""
        if self._watches is None:
            self._watches = self._joined()
        return self._watches

    def _joined(self) -> Interactions:
        indptr, video, time_ms, signal = self.driver.watches()
        records = self.driver.records
        profile = np.stack([tower_profile(r["profile"], r["traits"]) for r in records])
        sizes = tuple(int(size) for size in profile.max(axis=0) + 1)
        return Interactions(indptr, video, time_ms, signal, profile, sizes, self.driver.room)

    def words(self) -> Words:
        """The vocabularies that go into the bundle."""
        is_impression = self.events.surface > 0
        codes: Array = self.events.surface[is_impression]
        common = int(np.bincount(codes).argmax()) if len(codes) else 0
        return Words.of(self.state, self.surfaces, common)


async def load_log(
    log: EventReader, videos: VideoStore, tables: Tables, words: Words | None = None, room: Room = MEMORY
) -> LogData:
    """Read the log to its end, into this room; the catalogue must have been brought up to date before. Codes go on from
    `words`, those of a bundle that is to be continued; without them they begin anew."""
    end = await log.end()
    table = await videos.load()
    state, surfaces = FeatureState(table), Vocabulary()
    if words is not None:
        words.restore(state)
        surfaces = words.surfaces()
    events, viewers = await read_columns(log, table, surfaces, end, room)
    driver = BatchDriver(state, events, viewers, room)
    driver.set_profiles(await tables.all_users())
    return LogData(state, driver, surfaces, end)
