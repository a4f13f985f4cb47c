"""The baseline of benchmarks/stream.py: the same counting, the rows through Feast's own push into its Redis store."""

import tempfile
import warnings
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import prometheus_client  # noqa: F401 - first: Feast would switch the whole process to its own files of metrics
from feast import FeatureStore, RepoConfig
from feast.data_source import PushMode

from core.clock import system_clock
from features.counting import count_events
from features.feast_fields import ENTITIES
from features.feast_offline import table_of
from features.feast_repo import PROJECT, definitions
from features.layout import VIEWER_DTYPE
from features.packed import pack_rows
from features.state import FeatureState
from features.stream.reading import parsed


class FeastPush:
    """Counts events in memory and pushes the rows that they change, batch by batch."""

    def __init__(self, settings, table):
        self.state, self.rows, self.viewers = FeatureState(table), {}, {}
        folder = Path(tempfile.mkdtemp())
        address = urlsplit(settings.redis)
        self.store = FeatureStore(
            config=RepoConfig(
                project=PROJECT + settings.redis_prefix.strip(":"), provider="local",
                registry=str(folder / "registry.db"),
                online_store={"type": "redis", "connection_string": f"{address.hostname}:{address.port}"},
                offline_store={"type": "file"}, entity_key_serialization_version=3,
            )
        )  # fmt: skip
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self.store.apply(definitions())
        self.sources = {view.name: view.stream_source.name for view in self.store.list_feature_views()}
        self._records = {}

    def apply(self, entries):
        """One micro-batch."""
        columns, viewers = parsed(entries).columns(self.state.table)
        rows = np.zeros(len(viewers), VIEWER_DTYPE)
        for at, name in enumerate(viewers):
            if name in self._records:
                rows[at] = self._records[name]
        count_events(self.state, columns, rows)
        for at, name in enumerate(viewers):
            self._records[name] = rows[at].copy()
        changed = {
            "viewer": dict(zip(viewers, pack_rows(rows), strict=True)),
            "video": self._counters(self.state.videos, columns.video, self.state.table.video_ids),
            "author": self._counters(self.state.authors, columns.author, self.state.table.authors.words),
        }
        now = system_clock()
        for entity, packed in changed.items():
            frame = table_of(ENTITIES[entity], packed, now, now).to_pandas()
            self.store.push(self.sources[entity], frame, to=PushMode.ONLINE)
        self._last = changed["viewer"]

    @staticmethod
    def _counters(counters, rows, names):
        touched = np.unique(rows[rows >= 0]).tolist()
        return dict(zip((names[row] for row in touched), counters.pack(touched), strict=True))

    def check(self):
        """Feast gives back what was pushed last."""
        name = next(iter(self._last))
        answer = self.store.get_online_features(["viewer:history_len"], [{"viewer_id": name}]).to_dict()
        assert answer["history_len"][0] == int(self._records[name]["history_len"]), name
