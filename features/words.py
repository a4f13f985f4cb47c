"""The vocabularies behind categorical features, kept with a bundle so that serving uses training's codes."""

import msgspec

from core.video_table import Vocabulary
from features.state import FeatureState, TraitCodes


class Words(msgspec.Struct, frozen=True, kw_only=True):
    """Words by code order (without the empty word), and the surface that most impressions came from."""

    surface_words: tuple[str, ...]
    default_surface: int
    devices: tuple[str, ...]
    age_bands: tuple[str, ...]
    traits: tuple[tuple[str, tuple[str, ...]], ...]

    @classmethod
    def of(cls, state: FeatureState, surfaces: Vocabulary, default_surface: int) -> "Words":
        """The vocabularies as they are now."""
        traits = state.traits
        return cls(
            surface_words=tuple(surfaces.words[1:]),
            default_surface=default_surface,
            devices=tuple(state.devices.words[1:]),
            age_bands=tuple(state.age_bands.words[1:]),
            traits=tuple((name, tuple(traits.values[name].words[1:])) for name in traits.names),
        )

    def restore(self, state: FeatureState) -> None:
        """Put the vocabularies into a feature state."""
        state.devices = Vocabulary(self.devices)
        state.age_bands = Vocabulary(self.age_bands)
        values = {name: Vocabulary(words) for name, words in self.traits}
        state.traits = TraitCodes([name for name, _ in self.traits], values)

    def surfaces(self) -> Vocabulary:
        """The surfaces' codes."""
        return Vocabulary(self.surface_words)

    def to_bytes(self) -> bytes:
        """As JSON."""
        return msgspec.json.encode(self)

    @classmethod
    def from_bytes(cls, raw: bytes) -> "Words":
        """What `to_bytes` wrote."""
        return msgspec.json.decode(raw, type=cls)
