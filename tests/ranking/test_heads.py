"""Training: which heads are made, and that each is the model LightGBM would have made alone."""

from dataclasses import replace

import lightgbm as lgb
import numpy as np
import pytest

from core.errors import InputError
from ranking.head_config import HeadConfig
from ranking.heads import train_heads


@pytest.fixture
def fit(train, valid, bins, trained):
    """Train `configs` on the small world, with some columns or arguments replaced."""

    def run(*configs, train_labels=None, valid_labels=None, rows=6000, **changed):
        return train_heads(
            bins.codes(train.values)[:rows],
            {k: v[:rows] for k, v in (train.labels | (train_labels or {})).items()},
            bins.codes(valid.values),
            valid.labels | (valid_labels or {}),
            trained.feature_names,
            configs,
            threads=1,
            **changed,
        )

    return run


def test_a_head_equals_the_model_trained_alone_on_its_own_dataset(trained, train, bins):
    config, model = trained.heads["watch_time"].config, trained.heads["watch_time"].model
    params = {
        "objective": "regression_l1",
        "num_leaves": config.leaves,
        "learning_rate": config.learning_rate,
        "min_data_in_leaf": config.min_rows_in_leaf,
        "max_bin": 255,
        "min_data_in_bin": 1,
        "feature_pre_filter": False,
        "use_missing": False,
        "enable_bundle": False,
        "deterministic": True,
        "force_row_wise": True,
        "num_threads": 1,
        "verbosity": -1,
    }
    codes = bins.codes(train.values).astype(np.float32)
    alone = lgb.train(params, lgb.Dataset(codes, train.labels["seconds"]), config.rounds)
    together = lgb.Booster(model_str=model)
    np.testing.assert_allclose(together.predict(codes), alone.predict(codes), rtol=1e-9)


def test_every_code_is_a_bin_so_that_thresholds_separate_whole_codes(trained):
    for head in trained.heads.values():
        text = [line for line in head.model.split("\n") if line.startswith("threshold=")]
        thresholds = np.array(" ".join(line[10:] for line in text).split(), float)
        below = np.floor(thresholds)
        assert ((thresholds - below < 0.51) & (below >= 0) & (below < 255)).all()


@pytest.mark.parametrize("rows", [300, 1_000, 3_000])
def test_codes_of_few_values_give_sound_trees_on_few_rows_and_on_many(rows):
    """A head's own means: whatever rows a leaf holds, before shrinkage it predicts their log odds."""
    rng = np.random.default_rng(rows)
    codes = rng.integers(0, 5, (rows, 40)).astype(np.uint8)
    label = (rng.random(rows) < 0.1 + 0.15 * codes[:, 0]).astype(float)
    names = tuple(f"f{number}" for number in range(40))
    config = HeadConfig(name="one", leaves=4, min_rows_in_leaf=20, rounds=1, learning_rate=1.0, min_positives=5)
    trained = train_heads(codes, {"one": label}, codes, {"one": label}, names, [config], threads=1)
    tree = lgb.Booster(model_str=trained.heads["one"].model)
    leaf, score = tree.predict(codes, pred_leaf=True)[:, 0], tree.predict(codes, raw_score=True)
    start = np.log(label.mean() / (1 - label.mean()))
    for number in np.unique(leaf):
        inside = leaf == number
        assert inside.sum() >= 20
        # One Newton step from the mean: sum of residuals over sum of p (1 - p).
        step = (label[inside] - label.mean()).sum() / (inside.sum() * label.mean() * (1 - label.mean()))
        assert score[inside][0] == pytest.approx(start + step, rel=1e-5)


def test_training_twice_gives_the_same_model(trained, fit):
    again = fit(trained.heads["like"].config, trained.heads["watch_ratio"].config)
    assert again.heads["like"].model == trained.heads["like"].model
    assert again.heads["watch_ratio"].model == trained.heads["watch_ratio"].model


def test_a_head_with_too_few_positives_is_skipped_and_says_why(trained):
    assert "share" not in trained.heads
    assert "positives and needs 10000" in trained.skipped["share"]


@pytest.mark.parametrize(
    ("label", "reason"),
    [(0.0, "0 positives"), (1.0, "same label 1"), (np.nan, "no observed label in the training")],
)
def test_a_label_without_information_skips_its_head(fit, label, reason):
    config = HeadConfig(name="like", rounds=3)
    other = HeadConfig(name="watch_time", label="seconds", objective="mean", rounds=3)
    result = fit(config, other, train_labels={"like": np.full(6000, label)})
    assert reason in result.skipped["like"] and tuple(result.heads) == ("watch_time",)


def test_no_observed_label_on_the_validation_day_skips_the_head(fit):
    configs = HeadConfig(name="like", rounds=3), HeadConfig(name="share", rounds=3)
    result = fit(*configs, valid_labels={"like": np.full(3000, np.nan)})
    assert "validation" in result.skipped["like"] and "share" in result.heads


def test_when_every_head_is_skipped_there_is_nothing_to_serve(fit):
    with pytest.raises(InputError, match="No head can be trained: like has"):
        fit(HeadConfig(name="like", min_positives=100_000))


def test_rows_without_a_label_do_not_count(fit, train):
    config = HeadConfig(name="like", rounds=20, min_rows_in_leaf=1)
    hidden = train.labels["like"].copy()
    hidden[3000:] = np.nan
    whole = fit(config, train_labels={"like": hidden})
    half = fit(config, rows=3000)
    assert whole.heads["like"].train_rows == half.heads["like"].train_rows == 3000
    assert whole.heads["like"].curve == half.heads["like"].curve


def test_weights_change_what_is_learned(fit, train):
    config = HeadConfig(name="like", rounds=5, early_stopping_rounds=0)
    heavy = fit(config, weights=np.where(train.labels["like"] > 0, 9.0, 1.0))
    assert heavy.heads["like"].curve[-1] > fit(config).heads["like"].curve[-1]


def test_early_stopping_keeps_the_best_round(trained):
    head = trained.heads["like"]
    assert head.best_iteration == int(np.argmin(head.curve)) + 1 < len(head.curve)
    assert lgb.Booster(model_str=head.model).num_trees() == head.best_iteration


def test_gain_names_the_features_that_matter(trained):
    gain = trained.heads["like"].gain
    assert sorted(gain, key=gain.__getitem__)[-2:] == ["age", "taste"] and gain["flat"] == 0


def test_a_monotone_feature_never_lowers_the_score(fit, bins, valid):
    result = fit(HeadConfig(name="like", rounds=20, monotone={"taste": 1, "noise": -1}))
    ladder = np.repeat(bins.codes(valid.values)[:20], 255, axis=0)
    for feature, sign in ((0, 1), (4, -1)):
        codes = ladder.copy()
        codes[:, feature] = np.tile(np.arange(255), 20)
        steps = np.diff(result.forest().scores(codes).reshape(20, 255), axis=1)
        assert (sign * steps >= 0).all()


def test_progress_is_told_of_every_round(fit):
    told = []
    fit(
        HeadConfig(name="like", rounds=3),
        HeadConfig(name="share", rounds=2),
        progress=lambda head, iteration, rounds, metric: told.append((head, iteration, rounds)),
    )
    assert told == [("like", 1, 3), ("like", 2, 3), ("like", 3, 3), ("share", 1, 2), ("share", 2, 2)]


@pytest.mark.parametrize(
    ("config", "changed", "message"),
    [
        (HeadConfig(name="like", label="likes"), {}, "column likes"),
        (HeadConfig(name="like", monotone={"tast": 1}), {}, "unknown features"),
        (HeadConfig(name="like"), {"train_labels": {"like": np.full(6000, 0.5)}}, "0, 1 or NaN"),
        (HeadConfig(name="like"), {"train_labels": {"like": np.full(6000, -1)}}, "not negative"),
        (HeadConfig(name="like"), {"train_labels": {"like": np.ones(5)}}, "must be"),
        (HeadConfig(name="like"), {"rows": 0}, "training data is empty"),
        (HeadConfig(name="like"), {"weights": np.ones(3)}, "column weights"),
    ],
)
def test_a_mistake_in_the_input_is_named(fit, config, changed, message):
    with pytest.raises(InputError, match=message):
        fit(config, **changed)


def test_two_heads_cannot_have_one_name(fit):
    with pytest.raises(InputError, match="names of their own"):
        fit(HeadConfig(name="like"), HeadConfig(name="like"))


def test_codes_of_another_schema_are_named(trained, train, valid, bins):
    codes, codes_valid = bins.codes(train.values), bins.codes(valid.values)
    config = trained.heads["like"].config
    with pytest.raises(InputError, match="validation codes must be uint8"):
        train_heads(codes, train.labels, codes_valid[:, :2], valid.labels, trained.feature_names, [config])


def test_the_calibration_of_a_head_follows_its_objective(trained, valid, bins):
    calibrators = trained.calibrators(bins.codes(valid.values), valid.labels)
    methods = {head: calibrator.method for head, calibrator in calibrators.items()}
    assert methods == {"like": "platt", "watch_ratio": "linear", "watch_time": "identity"}
    like = trained.heads["like"]
    isotonic = replace(like, config=like.config.model_copy(update={"calibration": "isotonic"}))
    other = replace(trained, heads={"like": isotonic})
    assert other.calibrators(bins.codes(valid.values), valid.labels)["like"].method == "isotonic"


def test_a_target_is_clipped_at_the_training_quantile_and_then_on_the_heads_scale():
    label = np.array([0.0, 1.0, 2.0, 3.0, 100.0])
    clipped = HeadConfig(name="watch_mean", objective="mean", clip_quantile=0.75)
    assert clipped.bound(label) == 3.0
    assert clipped.target(label, 3.0).tolist() == [0, 1, 2, 3, 3]
    logged = HeadConfig(name="watch_rank", objective="mean", scale="log")
    assert logged.bound(label) == np.inf
    np.testing.assert_allclose(logged.target(label), np.log([1, 2, 3, 4, 101]))


def test_a_log_head_predicts_log_amounts_calibrated_on_their_scale(fit, valid, bins):
    trained = fit(HeadConfig(name="watch_rank", label="seconds", objective="mean", scale="log", rounds=40))
    ranker = trained.ranker(bins, bins.codes(valid.values), valid.labels)
    prediction, wanted = ranker.predict(valid.values)["watch_rank"], np.log1p(valid.labels["seconds"])
    assert prediction.mean() == pytest.approx(np.nanmean(wanted), rel=1e-6)
    assert np.corrcoef(prediction, wanted)[0, 1] > 0.2


def test_a_tweedie_head_predicts_the_mean_of_amounts(fit, valid, bins):
    trained = fit(HeadConfig(name="watch_mean", label="seconds", objective="tweedie", rounds=60))
    ranker = trained.ranker(bins, bins.codes(valid.values), valid.labels)
    prediction, wanted = ranker.predict(valid.values)["watch_mean"], valid.labels["seconds"]
    assert ranker.calibrators["watch_mean"].method == "exponential"
    assert prediction.mean() == pytest.approx(wanted.mean(), rel=1e-6)
    assert np.mean((prediction - wanted) ** 2) < 0.5 * wanted.var()


def test_members_are_models_of_their_own_seeds_whose_scores_are_averaged(fit, valid, bins):
    head = HeadConfig(name="like", rounds=15, feature_share=0.5, row_share=0.7, early_stopping_rounds=0, seed=3)
    codes = bins.codes(valid.values)
    alone = [fit(head.model_copy(update={"seed": seed})).heads["like"].model for seed in (3, 4)]
    scores = [lgb.Booster(model_str=model).predict(codes.astype(np.float32), raw_score=True) for model in alone]
    assert not np.array_equal(*scores)
    trained = fit(head.model_copy(update={"members": 2}))
    together = lgb.Booster(model_str=trained.heads["like"].model)
    assert together.num_trees() == 30
    np.testing.assert_allclose(trained.forest().scores(codes)[:, 0], np.mean(scores, axis=0), rtol=1e-12)
    np.testing.assert_allclose(together.predict(codes, raw_score=True), np.mean(scores, axis=0), rtol=1e-12)
