"""The compiled hash of event ids is the library's."""

import random
from hashlib import blake2b

import numpy as np

from features.stream.hashing import hashes


def test_ids_of_any_length_are_hashed_as_the_library_does_it():
    rng, raw, places = random.Random(1), b"", []
    lengths = [(0, 0), (63, 64), (64, 64), (64, 63), (127, 0), (128, 128), (0, 300)]
    for first, second in lengths + [(rng.randrange(300), rng.randrange(300)) for _ in range(500)]:
        places.append((len(raw), len(raw) + first, len(raw) + first, len(raw) + first + second))
        raw += rng.randbytes(first + second)
    found, spans = np.empty((len(places), 2), np.uint64), np.array(places)
    hashes(np.frombuffer(raw, np.uint8), spans[:, :2].copy(), spans[:, 2:].copy(), found)
    due = [blake2b(raw[a:b] + b"\0" + raw[c:d], digest_size=16).digest() for a, b, c, d in places]
    assert [row.tobytes() for row in found] == due
