"""The one place where aiokafka's errors become core's."""

from collections.abc import Iterator
from contextlib import contextmanager

from aiokafka import errors as kafka

from core.errors import ConfigError, CorruptData, StorageFull, TooLarge, Unavailable

_DENIED = (
    kafka.TopicAuthorizationFailedError,
    kafka.GroupAuthorizationFailedError,
    kafka.ClusterAuthorizationFailedError,
    kafka.AuthenticationFailedError,
    kafka.AuthenticationMethodNotSupported,
    kafka.UnsupportedSaslMechanismError,
)
_TOO_LARGE = (kafka.MessageSizeTooLargeError, kafka.RecordListTooLargeError, kafka.RecordTooLargeError)
_FEW_REPLICAS = (kafka.NotEnoughReplicasError, kafka.NotEnoughReplicasAfterAppendError)


@contextmanager
def translated(place: str, doing: str) -> Iterator[None]:
    """aiokafka's errors while `doing` ("read user.interaction") as core's, each one sentence; bugs pass unchanged."""
    try:
        yield
    except TimeoutError as error:
        raise Unavailable(_silent(place, doing, "no answer in time")) from error
    except OSError as error:
        raise Unavailable(_silent(place, doing, str(error))) from error
    except kafka.KafkaError as error:
        raise _core(place, doing, error) from error


def _core(place: str, doing: str, error: kafka.KafkaError) -> Exception:
    if isinstance(error, kafka.UnknownTopicOrPartitionError):
        return ConfigError(f"{place} could not {doing}: it has no such topic; `foryou stack init` creates them.")
    if isinstance(error, _DENIED):
        return ConfigError(f"{place} does not allow us to {doing} ({error}); correct the settings or its rights.")
    if isinstance(error, _TOO_LARGE):
        return TooLarge(f"{place} could not {doing}: a message is too large ({error}); make it smaller.")
    if isinstance(error, kafka.CorruptRecordException):
        return CorruptData(f"{place} could not {doing}: a stored record is damaged ({error}); restore the partition.")
    if isinstance(error, kafka.KafkaStorageError):
        return StorageFull(f"{place} could not {doing}: its disk is full or fails; free space there and try again.")
    if isinstance(error, _FEW_REPLICAS):
        return Unavailable(f"{place} could not {doing}: too few replicas are in sync; bring its brokers back.")
    return Unavailable(_silent(place, doing, str(error)))


def _silent(place: str, doing: str, why: str) -> str:
    return (
        f"{place} does not {doing} ({why}); is it running (`foryou stack up kafka` starts a local one),"
        " with space on its disk, and is FORYOU_KAFKA right?"
    )


def is_final(error: BaseException) -> bool:
    """Whether a producer can no longer be used after this: its sequence of batches is broken, or it has ended."""
    harmless = (*_DENIED, *_TOO_LARGE, kafka.UnknownTopicOrPartitionError)
    return isinstance(error, kafka.KafkaError) and not error.retriable and not isinstance(error, harmless)
