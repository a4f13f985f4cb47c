"""Who of a consumer group reads which partitions: fair shares that move as little as possible."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
from aiokafka.coordinator.assignors.abstract import AbstractPartitionAssignor
from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment, ConsumerProtocolMemberMetadata

from core.log import by_topic

Part = tuple[str, int]

_VERSION: Final = 0
_parts = msgspec.msgpack.Decoder(list[Part])


def shares(partitions: Sequence[Part], before: Mapping[str, Sequence[Part]]) -> dict[str, list[Part]]:
    """n/m partitions for each member, of its own where it had some; the members in order get what is left over."""
    members = sorted(before)
    each, rest = divmod(len(partitions), len(members))
    quotas = {member: each + (place < rest) for place, member in enumerate(_largest_first(members, before))}
    free = dict.fromkeys(partitions)
    given: dict[str, list[Part]] = {}
    for member in members:
        own = [part for part in sorted(set(before[member])) if part in free]
        given[member] = own[: quotas[member]]
        for part in given[member]:
            del free[part]
    left = iter(free)
    for member in members:
        given[member] += [next(left) for _ in range(quotas[member] - len(given[member]))]
    return given


def _largest_first(members: Sequence[str], before: Mapping[str, Sequence[Part]]) -> list[str]:
    """Who has most gets the odd partition, so that it need not give one up."""
    return sorted(members, key=lambda member: (-len(before[member]), member))


class StayingAssignor(AbstractPartitionAssignor):  # type: ignore[misc]
    """`shares` as Kafka's group leader applies it; each member says what it had.

    The driver's own sticky assignor keeps what it had in the class: two groups in one process would mix theirs.
    """

    name = "foryou-stay"

    def __init__(self) -> None:
        self._mine: list[Part] = []

    def metadata(self, topics: Sequence[str]) -> Any:
        """What we tell the leader."""
        return ConsumerProtocolMemberMetadata(_VERSION, sorted(topics), msgspec.msgpack.encode(self._mine))

    def assign(self, cluster: Any, members: Mapping[str, Any]) -> dict[str, Any]:
        """What the leader gives everyone."""
        topics = sorted({topic for member in members.values() for topic in member.subscription})
        parts = [(topic, number) for topic in topics for number in sorted(cluster.partitions_for_topic(topic) or ())]
        before = {name: _had(member.user_data) for name, member in members.items()}
        return {
            name: ConsumerProtocolMemberAssignment(
                _VERSION, [(topic, sorted(numbers)) for topic, numbers in by_topic(given).items()], b""
            )
            for name, given in shares(sorted(parts, key=lambda part: (part[1], part[0])), before).items()
        }

    def on_assignment(self, assignment: Any) -> None:
        """Remember it for the next time."""
        self._mine = [(part.topic, part.partition) for part in assignment.partitions()]


def _had(said: bytes | None) -> list[Part]:
    return _parts.decode(said) if said else []
