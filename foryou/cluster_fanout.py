"""The Following feed on a cluster: who reads inboxes, and the roles that fill them."""

import secrets
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from backends.postgres.followers import PostgresFollowers
from backends.postgres.tables import PostgresTables
from backends.redis.bitmaps import RedisBitmaps
from backends.redis.inboxes import RedisInboxes
from backends.redis.ledger import RedisLedger
from core.errors import ConfigError
from features.stream.loop import StageConfig
from features.stream.worker import Role
from feeds.active_users import ActiveConfig, ActiveUsers
from feeds.author_rows import AuthorRows
from feeds.fanout import Fanout, FanoutConfig
from feeds.fanout_work import ActiveRefresh, pushes, teller, unfollows
from feeds.following_inbox import FollowingInbox

if TYPE_CHECKING:
    from foryou.cluster import Cluster


def _name() -> str:
    return secrets.token_hex(8)


def _ledger(cluster: "Cluster") -> RedisLedger:
    return RedisLedger(cluster.nodes, _name)


def _active(cluster: "Cluster") -> ActiveUsers:
    ledger = _ledger(cluster)
    return ActiveUsers(RedisBitmaps(cluster.nodes), ledger, ledger, cluster.clock, _name, ActiveConfig())


def fanout_config(cluster: "Cluster") -> FanoutConfig:
    """The thresholds of the settings. ConfigError where they are not in order."""
    settings = cluster.settings
    if settings.fanout_active_up_to + 1 < settings.fanout_push_below:
        raise ConfigError("FORYOU_FANOUT_ACTIVE_UP_TO must not be below FORYOU_FANOUT_PUSH_BELOW; correct one of them.")
    return FanoutConfig(push_below=settings.fanout_push_below, active_up_to=settings.fanout_active_up_to)


def following_inbox(
    cluster: "Cluster", later: Callable[[Awaitable[None]], None], count: Callable[[str], None]
) -> FollowingInbox:
    """What a replica reads Following through, once it follows the catalogue."""
    return FollowingInbox(
        config=FanoutConfig(),
        catalogue=cluster.catalogue,
        rows=AuthorRows(cluster.catalogue.table),
        inboxes=RedisInboxes(cluster.nodes),
        ledger=_ledger(cluster),
        active=_active(cluster),
        tables=PostgresTables(cluster.postgres),
        clock=cluster.clock,
        new_token=_name,
        later=later,
        count=count,
        deadline_ms=cluster.settings.hydrate_deadline_ms,
    )


def fanout_makers(cluster: "Cluster", config: StageConfig) -> dict[str, Callable[[], Role]]:
    """The roles of `foryou work fanout`."""
    log, inboxes = cluster.messages, RedisInboxes(cluster.nodes)

    def pushing() -> Role:
        followers, ledger = PostgresFollowers(cluster.postgres), _ledger(cluster)
        active, tell = _active(cluster), teller(log)
        fanout = Fanout(fanout_config(cluster), cluster.catalogue, followers, inboxes, ledger, active, tell)
        return pushes(log, fanout, config)

    return {
        "fanout": pushing,
        "unfollows": lambda: unfollows(log, PostgresTables(cluster.postgres), inboxes, config),
        "active": lambda: ActiveRefresh(_active(cluster), cluster.features),
    }
