"""A slate: what was served together, as the compact record that is written before the answer."""

import msgspec


class Slate(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One served page. Tuples run by position; `fidelity` is "features" or "full" (see `foryou replay`).

    `policy` is "" where nothing was random, else how the positions `drawn` were; `propensities` are
    P(video | those above it), 1 at the other positions, and empty where nothing was random.
    """

    slate_id: str
    viewer_id: str
    session_id: str
    surface: str
    time_ms: int
    page: int
    seed: int
    video_ids: tuple[str, ...]
    sources: tuple[str, ...]
    propensities: tuple[float, ...] = ()
    bundle_id: str = ""
    parameter_hash: str = ""
    applied_offset: int = 0
    degraded: tuple[str, ...] = ()
    fidelity: str = "features"
    policy: str = ""
    drawn: tuple[int, ...] = ()


class SlateDetail(msgspec.Struct, frozen=True, kw_only=True):
    """What explains a slate, written as a side effect: columns by position, packed by core.arrays.

    `served` holds arrays [k, ...] (features, predictions, value, value_rank, ...); `full` is empty or the kept
    query and every candidate with its columns and the stage that dropped it.
    """

    slate_id: str
    served: bytes
    full: bytes = b""


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Slate)


def encode_slate(slate: Slate) -> bytes:
    """The slate as MessagePack."""
    return _encoder.encode(slate)


def decode_slate(raw: bytes) -> Slate:
    """The slate that `encode_slate` wrote."""
    return _decoder.decode(raw)
