import pytest

from core.errors import InputError, NotFound
from training.config import TrainConfig
from training.config_file import changed, merged, nested, read_changes, write_changes


def test_a_file_changes_what_it_names_and_leaves_the_rest(tmp_path):
    file = tmp_path / "search.yaml"
    file.write_text("rounds: 50\naffinity:\n  dim: 8\n")
    config, plain = changed(TrainConfig(), read_changes(file)), TrainConfig()
    assert config.rounds == 50 and config.affinity.dim == 8
    # Not the defaults of towers, but those of the affinity towers.
    assert config.affinity.loss == "pointwise"
    assert config.model_copy(update={"rounds": plain.rounds, "affinity": plain.affinity}) == plain


def test_what_is_written_is_read_again(tmp_path):
    changes = nested({"als.factors": 32, "towers.learning_rate": 0.002, "rounds": 7})
    write_changes(tmp_path / "a.yaml", changes, "why")
    assert read_changes(tmp_path / "a.yaml") == changes == {
        "als": {"factors": 32}, "towers": {"learning_rate": 0.002}, "rounds": 7
    }  # fmt: skip
    assert [path.name for path in tmp_path.iterdir()] == ["a.yaml"]


def test_weights_are_replaced_all_together():
    whole, changes = {"value_weights": {"like": 1}, "als": {"a": 1}}, {"value_weights": {"skip": -1}, "als": {"b": 2}}
    assert merged(whole, changes) == {"value_weights": {"skip": -1}, "als": {"a": 1, "b": 2}}


def test_without_changes_the_file_changes_nothing(tmp_path):
    write_changes(tmp_path / "a.yaml", {}, "nothing was better")
    assert changed(TrainConfig(), read_changes(tmp_path / "a.yaml")) == TrainConfig()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("towers: {dims: 3}", "no training parameter towers.dims"),
        ("dim: 3", "no training parameter dim"),
        ("towers: {dim: 0}", "towers.dim cannot be used"),
        ("towers: 3", "towers cannot be used"),
        ("- 1", "holds no parameters"),
        ("a: [", "is not YAML"),
    ],
)
def test_a_file_that_cannot_be_used_is_told_in_a_sentence(tmp_path, text, told):
    file = tmp_path / "bad.yaml"
    file.write_text(text)
    with pytest.raises(InputError, match=told):
        changed(TrainConfig(), read_changes(file))


def test_an_absent_file_is_told(tmp_path):
    with pytest.raises(NotFound, match="no file"):
        read_changes(tmp_path / "none.yaml")
