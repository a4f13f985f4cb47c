"""The source of what exploration draws from: new videos that nothing else may have retrieved."""

import numpy as np

from core.arrays import Int32
from core.query import Query
from feeds.config import ForYouConfig
from feeds.exploration.new_videos import NewVideos
from feeds.exploration.noise import uniforms

_SALT = 0x6E6577


class NewVideoSource:
    """Some of the videos that may be explored, each page others; which are the viewer's is for the ranker to say."""

    name = "new_videos"

    def __init__(self, new: NewVideos, config: ForYouConfig) -> None:
        self._new, self._quota = new, config.new_video_quota if config.exploration_every else 0

    def fetch(self, query: Query) -> Int32:
        """[<= quota] int32"""
        rows = self._new.rows
        if not len(rows) or not self._quota:
            return np.zeros(0, np.int32)
        picked = (uniforms(query.seed ^ _SALT, np.arange(2 * self._quota)) * len(rows)).astype(np.int64)
        found = rows[picked[np.sort(np.unique(picked, return_index=True)[1])]]
        gone = np.concatenate([query.seen, query.served])
        return np.asarray(found[~np.isin(found, gone)][: self._quota], np.int32)
