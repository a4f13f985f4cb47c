"""How the message log uses Kafka: where it is, how long it waits."""

from pydantic import BaseModel, ConfigDict, Field

from core.errors import ConfigError
from core.settings import Settings


class KafkaConfig(BaseModel):
    """Where Kafka is and how long each call waits for it."""

    model_config = ConfigDict(frozen=True)

    servers: str = Field(description="bootstrap servers, host:port, separated by commas")
    prefix: str = Field("", description="goes before every topic's and group's name")
    start_ms: int = Field(10_000, ge=0, description="how long opening tries again, milliseconds")
    append_ms: int = Field(5_000, ge=100, description="an append that is not acknowledged by then gives up, ms")
    answer_ms: int = Field(5_000, ge=100, description="a read, a commit or a poll without any answer gives up, ms")
    session_ms: int = Field(10_000, ge=6_000, description="a member that is silent so long is dead, milliseconds")
    rebalance_ms: int = Field(30_000, ge=1_000, description="time to store and hand over partitions, milliseconds")
    fetch_bytes: int = Field(1 << 20, ge=1, description="most bytes of a partition in one fetch (one message may pass)")

    @classmethod
    def of(cls, settings: Settings) -> "KafkaConfig":
        """What the operator has set; ConfigError for addresses that are none."""
        for server in settings.kafka.split(","):
            host, _, port = server.strip().rpartition(":")
            if not host or not port.isascii() or not port.isdigit() or not 0 < int(port) < 65_536:
                raise ConfigError(f"FORYOU_KAFKA has {server!r}; write host:port, several with commas between them.")
        start_ms = round(settings.start_patience_s * 1000)
        return cls(servers=settings.kafka, prefix=settings.kafka_prefix, start_ms=start_ms)

    @property
    def place(self) -> str:
        """The subject of every sentence about it."""
        return f"Kafka at {self.servers}"
