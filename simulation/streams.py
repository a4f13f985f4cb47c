"""Named random streams: every draw of the world comes from one seed and a name."""

import zlib

import numpy as np


def stream(seed: int, name: str, *keys: int) -> np.random.Generator:
    """The Generator of one purpose; `keys` (day, viewer, ...) make its draws independent of call order."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, zlib.crc32(name.encode()), *keys])))
