"""Inboxes on Redis: a sorted set for each viewer, which a script feeds where it exists, many in one call."""

from collections.abc import Mapping, Sequence
from typing import Final
from zlib import crc32

from backends.redis.keys import BUCKETS
from backends.redis.nodes import Command, Nodes, parts
from core.cache_keys import tag_of
from core.fanout import Inbox

# Scores are minus the upload time: the newest stand at the head, where a small set is searched first, and what is cut
# off goes from its end, where nothing has to move. The last member, at infinity, is the token of who built the inbox:
# so one without videos exists. The note stands beside it, after the same token, in a key of the same slot. A set is
# cut back when it is _SLACK over its bound; who reads takes no more than the bound.
_PUSH: Final = """
local call, cut, limit, held = redis.call, ARGV[1], tonumber(ARGV[2]), {}
for at = 1, #KEYS do
  local key = KEYS[at]
  local size = call('ZCARD', key)
  if size > 0 then
    held[#held + 1] = at
    if #ARGV == 4 then
      size = size + call('ZADD', key, ARGV[3], ARGV[4])
    elseif #ARGV > 4 then
      size = size + call('ZADD', key, unpack(ARGV, 3))
    end
    if size > limit then call('ZREMRANGEBYRANK', key, cut, '-2') end
  end
end
return held
"""
_BEGIN: Final = """
redis.call('UNLINK', KEYS[1], KEYS[2])
redis.call('ZADD', KEYS[1], '+inf', ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[2])
"""
_FILL: Final = """
if not redis.call('ZSCORE', KEYS[1], ARGV[1]) then return end
if #ARGV > 4 then redis.call('ZADD', KEYS[1], unpack(ARGV, 5)) end
redis.call('ZREMRANGEBYRANK', KEYS[1], ARGV[4], '-2')
redis.call('PEXPIRE', KEYS[1], ARGV[2])
redis.call('SET', KEYS[2], ARGV[3], 'PX', ARGV[2])
"""
_SLACK: Final = 20  # with the token a set of 100 stays under the 128 members that Redis keeps packed
_AT_ONCE: Final = 500  # keys of one call: some milliseconds, in which the node does nothing else
_TOKEN: Final = "\0"


class RedisInboxes:
    """Sorted sets `feed:{feed.BUCKET}:viewer`: the viewers of a bucket share a slot, so that one call feeds many."""

    def __init__(self, nodes: Nodes) -> None:
        self._nodes = nodes

    async def push(self, viewers: Sequence[str], videos: Mapping[str, int], most: int) -> list[str]:
        """Put videos into the inboxes that exist; the viewers who have one."""
        pairs = [part for video_id, upload_ms in videos.items() for part in (-upload_ms, video_id)]
        groups = [part for group in self._by_slot(viewers) for part in parts(group, _AT_ONCE)]
        commands: list[Command] = [
            ("EVAL", _PUSH, len(group), *map(self._key, group), most, most + 1 + _SLACK, *pairs) for group in groups
        ]
        answers = await self._nodes.run(commands)
        return [group[at - 1] for group, held in zip(groups, answers, strict=True) for at in held]

    async def begin(self, viewer_id: str, token: str, ttl_ms: int) -> None:
        """An inbox that is being built, in place of any."""
        await self._nodes.run([("EVAL", _BEGIN, 2, *self._keys(viewer_id), _TOKEN + token, ttl_ms)])

    async def fill(
        self, viewer_id: str, token: str, note: bytes, videos: Mapping[str, int], most: int, ttl_ms: int
    ) -> None:
        """Add videos and let it be read, unless another began in its place."""
        pairs = [part for video_id, upload_ms in videos.items() for part in (-upload_ms, video_id)]
        member = _TOKEN + token
        noted = member.encode() + _TOKEN.encode() + note
        await self._nodes.run([("EVAL", _FILL, 2, *self._keys(viewer_id), member, ttl_ms, noted, most, *pairs)])

    async def read(self, viewer_id: str, most: int, ttl_ms: int) -> Inbox | None:
        """The `most` newest of the inbox, which lives `ttl_ms` milliseconds more; None where none was filled."""
        key, note = self._keys(viewer_id)
        members, last, noted, *_ = await self._nodes.run(
            [
                ("ZRANGE", key, 0, most - 1, "WITHSCORES"),
                ("ZRANGE", key, -1, -1),
                ("GET", note),
                ("PEXPIRE", key, ttl_ms),
                ("PEXPIRE", note, ttl_ms),
            ]
        )
        if not last or noted is None or not noted.startswith(last[0] + _TOKEN.encode()):
            return None
        pairs = zip(members[::2], members[1::2], strict=True)
        videos = [(-int(float(score)), member.decode()) for member, score in pairs if member != last[0]]
        ordered = [(video_id, upload_ms) for upload_ms, video_id in sorted(videos, reverse=True)]
        return Inbox(noted[len(last[0]) + 1 :], ordered)

    async def delete(self, viewers: Sequence[str]) -> None:
        """Forget the inboxes."""
        await self._nodes.run([("UNLINK", *self._keys(viewer)) for viewer in viewers])

    def _by_slot(self, viewers: Sequence[str]) -> list[list[str]]:
        """The viewers whose keys one command may name together."""
        if not self._nodes.cluster:
            return [list(viewers)]
        groups: dict[int, list[str]] = {}
        for viewer in viewers:
            groups.setdefault(_bucket(viewer), []).append(viewer)
        return list(groups.values())

    def _key(self, viewer: str) -> str:
        return f"{self._nodes.prefix}feed:{{feed.{_bucket(viewer)}}}:{tag_of(viewer)}"

    def _keys(self, viewer: str) -> tuple[str, str]:
        key = self._key(viewer)
        return key, key + ":note"


def _bucket(viewer: str) -> int:
    return crc32(viewer.encode()) % BUCKETS
