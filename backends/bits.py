"""Which numbers a bitmap takes."""

from collections.abc import Sequence
from typing import Final

from core.errors import InputError

BITS: Final = 1 << 32


def check_bits(bits: Sequence[int]) -> None:
    """InputError for a number that is no bit of a map."""
    if wrong := [bit for bit in bits if not 0 <= bit < BITS]:
        raise InputError(f"A bitmap has the bits 0 to {BITS - 1:,}, so {wrong[0]:,} is none.")
