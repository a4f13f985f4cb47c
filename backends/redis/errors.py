"""The driver's errors, translated once."""

from collections.abc import Iterator
from contextlib import contextmanager

from redis import exceptions as R

from core.errors import ConfigError, ContractError, CorruptData, ForyouError, InputError, StorageFull, Unavailable

# What Redis answers with, by its first word, when the fault is not the command's.
_ANSWERS: dict[str, tuple[type[ForyouError], str]] = {
    "OOM": (StorageFull, "is full: it has reached maxmemory; give it more memory or delete what is not needed"),
    "READONLY": (Unavailable, "is a read-only replica; point FORYOU_REDIS at the primary"),
    "MISCONF": (Unavailable, "refuses writes because it cannot save to its disk; look at that disk and at its log"),
    "NOREPLICAS": (Unavailable, "refuses writes because it has too few replicas; bring them back"),
    "MASTERDOWN": (Unavailable, "is a replica whose primary is down; bring the primary back"),
    "CLUSTERDOWN": (Unavailable, "belongs to a cluster that does not serve all slots; bring its nodes back"),
    "TRYAGAIN": (Unavailable, "is moving slots to another node; try again"),
    "LOADING": (Unavailable, "is loading its data; try again"),
    "BUSY": (Unavailable, "is busy with a script; try again"),
    "MOVED": (ConfigError, "is a node of a cluster; set FORYOU_REDIS_CLUSTER=true"),
    "WRONGPASS": (ConfigError, "refuses the user or password in FORYOU_REDIS"),
    "NOAUTH": (ConfigError, "asks for a password; put it into FORYOU_REDIS"),
    "NOPERM": (ConfigError, "does not let this user run our commands; see its ACL"),
    "WRONGTYPE": (
        CorruptData,
        "has another kind of value under one of our keys; set a FORYOU_REDIS_PREFIX of its own",
    ),
}
_CLASSES: dict[type[R.RedisError], str] = {
    R.OutOfMemoryError: "OOM",
    R.ReadOnlyError: "READONLY",
    R.MovedError: "MOVED",
    R.MasterDownError: "MASTERDOWN",
    R.ClusterDownError: "CLUSTERDOWN",
    R.TryAgainError: "TRYAGAIN",
    R.BusyLoadingError: "LOADING",
    R.NoPermissionError: "NOPERM",
    R.AuthenticationError: "WRONGPASS",
}


@contextmanager
def answered_by(name: str) -> Iterator[None]:
    """Unavailable, StorageFull, ConfigError or CorruptData for what a driver raises while it talks to `name`."""
    try:
        yield
    except (R.RedisError, R.RedisClusterException) as error:
        raise _translated(name, error) from error
    except OSError as error:
        raise Unavailable(f"Redis at {name} does not answer ({error.strerror or error}).") from error


def _translated(name: str, error: R.RedisError | R.RedisClusterException) -> ForyouError:
    text = str(error)
    if "cluster mode is not enabled" in text.lower():
        return ConfigError(f"Redis at {name} is not a node of a cluster; set FORYOU_REDIS_CLUSTER=false.")
    known = next((word for kind, word in _CLASSES.items() if isinstance(error, kind)), None)
    word = known or next((word for word in _ANSWERS if text.startswith(word)), None)
    if word == "WRONGPASS" and ("NOAUTH" in text or "required" in text):
        word = "NOAUTH"
    if word is not None:
        kind, what = _ANSWERS[word]
        return kind(f"Redis at {name} {what}.")
    if "would overflow" in text:
        return InputError(f"A counter in Redis at {name} would leave the range of 64 bits.")
    if isinstance(error, R.ResponseError):
        return ContractError(f"Redis at {name} refused a command ({text}).")
    return Unavailable(f"Redis at {name} does not answer ({text.rstrip('.')}).")
