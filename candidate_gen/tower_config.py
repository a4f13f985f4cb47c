"""How the two towers are shaped and trained."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class TowerConfig(BaseModel):
    """The knobs of the towers; each correction of the sampled softmax can be turned off."""

    model_config = ConfigDict(frozen=True)

    loss: Literal["softmax", "pointwise"] = Field(
        "softmax", description="which video among all, or how a watch of this one goes"
    )
    dim: int = Field(64, ge=1, description="width of a vector without its bias")
    inputs: int = Field(64, ge=1, description="width of a video's shared input vector")
    hidden: int = Field(128, ge=1, description="width of the hidden layer of both towers")
    profile_width: int = Field(8, ge=1, description="width of a profile field's embedding")
    history: int = Field(50, ge=1, description="watches that the viewer tower reads")
    epochs: int = Field(4, ge=1, description="passes over the examples, at most")
    epoch_examples: int = Field(300_000, ge=1, description="examples in a pass at most, drawn anew for each")
    batch: int = Field(1024, ge=2, description="examples in a step")
    negatives: int = Field(2048, ge=0, description="extra sampled videos in a step")
    negative_power: float = Field(0.5, ge=0, description="extra videos come by popularity ** this")
    learning_rate: float = Field(4e-3, gt=0, description="of Adam, falling along a cosine")
    weight_decay: float = Field(0.0, ge=0, description="of Adam, decoupled")
    start_length: float = Field(1.5, ge=0, description="root mean square length of ids that start from other vectors")
    id_dropout: float = Field(0.1, ge=0, lt=1, description="share of ids and authors hidden")
    normalise: bool = Field(True, description="vectors of length 1")
    temperature: float = Field(0.1, gt=0, description="divides the viewer's vector")
    logq: bool = Field(True, description="correct a negative by its expected count in a step")
    accidental_hits: bool = Field(True, description="remove negatives that are the positive")
    history_hits: bool = Field(True, description="remove negatives that the viewer has watched")
    signal_weights: tuple[float, float, float, float, float, float, float] = Field(
        (0.6, 1.0, 1.5, 1.5, 0.1, 0.0, 0.6),
        description="weight of a watch as an example: no flag, long view, like, strong, skip, "
        "negative, click; the largest counts, below 1 it is a probability",
    )
    popularity_step_ms: int = Field(6 * 3_600_000, gt=0, description="grain of popularity, ms")
    popularity_half_life_ms: int = Field(2 * 86_400_000, gt=0, description="of popularity, ms")
    holdout_ms: int = Field(86_400_000, ge=0, description="the end that measures epochs, ms")
    holdout_viewers: int = Field(2000, ge=1, description="viewers measured, at most")
    patience: int = Field(1, ge=0, description="worse epochs borne before the stop")
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        "auto", description="of products of matrices; auto: bfloat16 on a GPU, float32 elsewhere"
    )
    refit: bool = Field(True, description="train again on everything for the best epoch's count")
    seed: int = Field(0, description="of weights, order and negatives")
