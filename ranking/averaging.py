"""Several LightGBM models as one: their trees one after the other, each leaf divided by the number of models."""

from collections.abc import Iterator, Sequence

_TREE = "\nTree="
_END = "\nend of trees"


def averaged(models: Sequence[str]) -> str:
    """The model text whose raw score is the mean of the raw scores of `models`, which are of one kind; one model stays
    as it is."""
    if len(models) == 1:
        return models[0]
    header = "\n".join(line for line in models[0].split(_TREE)[0].split("\n") if not line.startswith("tree_sizes="))
    tail = models[0].split(_END)[1]
    trees = [block for model in models for block in _blocks(model, len(models))]
    numbered = "".join(f"{_TREE}{number}\n{block}" for number, block in enumerate(trees))
    return f"{header}{numbered}{_END}{tail}"


def _blocks(model: str, models: int) -> Iterator[str]:
    """The lines of each tree but its number."""
    for block in model.split(_END)[0].split(_TREE)[1:]:
        lines = block.split("\n")[1:]
        yield "\n".join(_divided(line, models) if line.startswith("leaf_value=") else line for line in lines)


def _divided(line: str, by: int) -> str:
    name, _, values = line.partition("=")
    return f"{name}=" + " ".join(repr(float(value) / by) for value in values.split())
