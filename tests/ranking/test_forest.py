"""The forest: LightGBM's raw scores, from arrays alone."""

import subprocess
import sys

import lightgbm as lgb
import numpy as np
import pytest

from core.errors import InputError, SchemaMismatch
from ranking.forest import Forest

ON_CODES = {"use_missing": False, "max_bin": 255, "min_data_in_bin": 1, "num_threads": 1}


def booster(rng, rows=3000, features=8, rounds=30, **params):
    codes = rng.integers(0, 255, (rows, features)).astype(np.float32)
    codes[rng.random(codes.shape) < 0.1] = 0
    label = np.abs(codes @ rng.normal(size=features) + rng.normal(size=rows))
    params = ON_CODES | {"objective": "regression", "verbosity": -1} | params
    return lgb.train(params, lgb.Dataset(codes, label), rounds)


def oracle(boosters, codes):
    x = codes.astype(np.float32)
    return np.column_stack([b.predict(x, raw_score=True, num_threads=1) for b in boosters])


def compiled(boosters, features=8):
    return Forest.compile({f"head{i}": b.model_to_string() for i, b in enumerate(boosters)}, features)


def test_scores_equal_those_of_lightgbm_bit_for_bit(trained, bins, valid):
    codes = bins.codes(valid.values)
    boosters = [lgb.Booster(model_str=head.model) for head in trained.heads.values()]
    assert (codes == 0).any()
    assert np.array_equal(trained.forest().scores(codes), oracle(boosters, codes))


@pytest.mark.parametrize("leaves", [2, 3, 31, 64, 65, 256])
def test_trees_of_any_allowed_size_are_exact(leaves):
    rng = np.random.default_rng(leaves)
    boosters = [booster(rng, num_leaves=leaves, min_data_in_leaf=1, rounds=r) for r in (1, 6, 9)]
    codes = rng.integers(0, 256, (300, 8)).astype(np.uint8)
    assert np.array_equal(compiled(boosters).scores(codes), oracle(boosters, codes))


def test_every_number_of_rows_and_layout_gives_the_same_scores():
    rng = np.random.default_rng(0)
    forest = compiled([booster(rng)])
    codes = rng.integers(0, 255, (2500, 8)).astype(np.uint8)
    one_by_one = np.concatenate([forest.scores(codes[r : r + 1]) for r in range(2500)])
    for rows in (0, 1, 2, 63, 64, 65, 1000, 1024, 1025, 2500):
        for layout in (codes[:rows], np.asfortranarray(codes[:rows]), codes[:rows][::-1]):
            expected = one_by_one[:rows][::-1] if layout.strides[0] < 0 else one_by_one[:rows]
            assert np.array_equal(forest.scores(layout), expected), rows


def test_a_head_of_stumps_without_splits_is_a_constant():
    rng = np.random.default_rng(0)
    flat = booster(rng, rounds=3, min_data_in_leaf=100_000)
    codes = rng.integers(0, 255, (10, 8)).astype(np.uint8)
    assert np.array_equal(compiled([flat]).scores(codes), oracle([flat], codes))


def test_arrays_alone_restore_the_forest():
    rng = np.random.default_rng(0)
    forest = compiled([booster(rng), booster(rng)])
    codes = rng.integers(0, 255, (100, 8)).astype(np.uint8)
    again = Forest(forest.heads, 8, forest.arrays())
    assert np.array_equal(again.scores(codes), forest.scores(codes))
    assert all(array.dtype != object for array in forest.arrays().values())


@pytest.mark.parametrize(
    ("params", "reason"),
    [
        ({"num_leaves": 300, "min_data_in_leaf": 1}, "300 leaves"),
        ({"linear_tree": True}, "linear leaves"),
        ({"boosting": "rf", "bagging_fraction": 0.5, "bagging_freq": 1}, "boosted"),
        ({"zero_as_missing": True, "use_missing": True}, "code 0 as missing"),
    ],
)
def test_models_that_codes_cannot_have_are_refused(params, reason):
    with pytest.raises(InputError, match=reason):
        compiled([booster(np.random.default_rng(0), **params)])


def test_a_model_with_categorical_splits_is_refused():
    rng = np.random.default_rng(0)
    kinds = rng.integers(0, 9, (500, 1)).astype(np.float32)
    data = lgb.Dataset(kinds, rng.normal(size=9)[kinds[:, 0].astype(int)], categorical_feature=[0])
    with pytest.raises(InputError, match="categorical"):
        compiled([lgb.train({"verbosity": -1} | ON_CODES, data, 2)], features=1)


def test_a_tree_that_splits_below_zero_is_refused():
    rng = np.random.default_rng(0)
    values = rng.normal(size=(500, 1))
    model = lgb.train({"verbosity": -1} | ON_CODES, lgb.Dataset(values, values[:, 0]), 2)
    with pytest.raises(InputError, match="codes start at 0"):
        compiled([model], features=1)


def test_codes_of_another_schema_are_refused():
    forest = compiled([booster(np.random.default_rng(0))])
    for codes in (np.zeros((2, 7), np.uint8), np.zeros((2, 8), np.float32)):
        with pytest.raises(SchemaMismatch, match="reads 8 uint8 codes"):
            forest.scores(codes)


@pytest.mark.parametrize("name", ["feature", "right", "leaf_value", "split_start", "head_start"])
def test_damaged_arrays_are_refused(name):
    forest = compiled([booster(np.random.default_rng(0))])
    arrays = forest.arrays()
    longer = {**arrays, name: np.append(arrays[name], arrays[name][-1])}
    beyond = {**arrays, name: np.full_like(arrays[name], 200)}
    for damaged in (longer, beyond) if name != "leaf_value" else (longer,):
        with pytest.raises(SchemaMismatch, match="do not fit"):
            Forest(forest.heads, 8, damaged)


def test_serving_imports_no_training_library():
    program = (
        "import sys, ranking.ranker, ranking.value_model;"
        "bad = {'lightgbm', 'sklearn', 'torch', 'mlflow', 'ray'} & set(sys.modules);"
        "sys.exit(', '.join(bad) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
