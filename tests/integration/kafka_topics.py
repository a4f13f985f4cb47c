"""Topics that no other test sees."""

from core.settings import Settings
from core.topics import Topic
from tests.integration import servers


def settings_for(kafka: str) -> Settings:
    """A prefix of its own before topics and groups."""
    return Settings(kafka=kafka, kafka_prefix=servers.unique("log") + ".")


def topic(name: str, partitions: int) -> Topic:
    """A topic of so many partitions."""
    return Topic(name, "test", "numbers", {"spec": partitions, "local": partitions})
