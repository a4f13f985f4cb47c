"""Settings of a run: the only module that reads the environment (variables FORYOU_*)."""

import os
from pathlib import Path
from typing import Literal

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """Everything an operator may set; each field can be given as FORYOU_<NAME>."""

    model_config = SettingsConfigDict(env_prefix="FORYOU_", frozen=True, extra="ignore")

    home: Path = Field(Path(".foryou"), description="folder that holds everything a run writes")
    host: str = Field("127.0.0.1", description="address to serve on")
    port: int = Field(8000, ge=0, le=65535, description="port to serve on")
    metrics_port: int = Field(
        0, ge=0, le=65535, description="port on which a stream worker answers GET /metrics; 0: none"
    )
    threads: int = Field(2, ge=1, description="threads for training")
    token_ttl_s: int = Field(900, ge=1, description="life of an access token, seconds")
    demo_token_ttl_s: int = Field(86_400, ge=1, description="life of a token printed by the command line, seconds")
    cursor_ttl_s: int = Field(1_800, ge=1, description="life of a feed cursor and of an idle session, seconds")
    full_slate_share: float = Field(0.01, ge=0, le=1, description="share of slates kept with all candidates")
    request_deadline_ms: int = Field(300, ge=1, description="budget of one For-You request, milliseconds")
    max_body_bytes: int = Field(1_000_000, ge=1, description="largest accepted request body, bytes")
    max_batch_events: int = Field(1_000, ge=1, description="most events in one POST /api/v1/events")
    debug_viewers: tuple[str, ...] = Field((), description="viewers whose slates are always kept in full")
    trending_mode: Literal["spec", "literal"] = Field(
        "spec", description="mode of Trending where none is asked: spec (distinct viewers) or literal (raw increments)"
    )
    fanout_push_below: int = Field(1_000, ge=0, description="authors with fewer followers push videos to all of them")
    fanout_active_up_to: int = Field(
        10_000, ge=0, description="authors with at most so many followers push to the active ones, others to nobody"
    )
    bundle_check_s: float = Field(
        5.0, gt=0, description="how often a serving process looks whether training has crowned another bundle, seconds"
    )
    mlflow: str = Field("", description="MLflow's server as a URL; none: SQLite under the home; off: no record")

    backends: Literal["embedded", "cluster"] = Field(
        "embedded", description="SQLite files under the home, or Kafka, Cassandra, Redis and PostgreSQL"
    )
    start_patience_s: float = Field(
        30.0, ge=0, description="how long a process that starts tries again where a server does not answer, seconds"
    )
    replica: str = Field("", description="name of this process among the replicas of one host; its own slates' file")
    kafka: str = Field("127.0.0.1:9092", description="Kafka's bootstrap servers, host:port, separated by commas")
    kafka_profile: Literal["spec", "local"] = Field(
        "local",
        description="partitions and replication of new topics: local (4 and 1) or spec (200/200/100/100/50 and 3)",
    )
    kafka_prefix: str = Field("", description="goes before every topic's and group's name")
    cassandra: str = Field("127.0.0.1:9042", description="Cassandra's contact points, host:port, separated by commas")
    cassandra_keyspace: str = Field("foryou", description="keyspace of the history tables")
    cassandra_replication: int = Field(1, ge=1, description="replication factor of a keyspace that we create")
    cassandra_read: str = Field("LOCAL_ONE", description="consistency level of reads")
    cassandra_write: str = Field("LOCAL_QUORUM", description="consistency level of writes")
    cassandra_timeout_ms: int = Field(2_000, ge=1, description="longest that Cassandra may take for a read, ms")
    redis: str = Field("redis://127.0.0.1:6379/0", description="Redis as a URL; rediss:// for TLS")
    redis_cluster: bool = Field(False, description="whether the URL names a node of a Redis Cluster")
    redis_prefix: str = Field("", description="goes before every key")
    postgres: str = Field("postgresql://127.0.0.1:5432/foryou", description="PostgreSQL as a URL")
    postgres_follower_partitions: int = Field(
        4, ge=1, le=1_000, description="hash partitions of the followers table when it is made (spec: 100)"
    )

    @property
    def hydrate_deadline_ms(self) -> int:
        """What the reads of a request may take of its budget, milliseconds."""
        return max(self.request_deadline_ms // 2, 1)

    @property
    def blobs(self) -> Path:
        """Folder of the log archive and other large objects."""
        return self.home / "blobs"

    @property
    def bundles(self) -> Path:
        """Folder of trained bundles."""
        return self.home / "bundles"

    @property
    def keys(self) -> Path:
        """Folder of the dev signing key."""
        return self.home / "keys"

    def file(self, name: str) -> Path:
        """A file in the home folder."""
        return self.home / name


def wait_quietly() -> None:
    """Let idle OpenMP threads sleep: on a busy machine their spinning made training tens of times slower.

    Must run before torch, FAISS or LightGBM is imported; what the operator has set stands.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
