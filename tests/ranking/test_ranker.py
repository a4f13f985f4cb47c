"""The ranker: from feature values to calibrated predictions, before and after a save."""

import lightgbm as lgb
import numpy as np
import pytest

from core.errors import CorruptData, NotFound, SchemaMismatch
from ranking.bins import SharedBins
from ranking.ranker import FILE, Ranker
from training.metrics import calibration_error


@pytest.fixture(scope="module")
def ranker(trained, bins, valid):
    return trained.ranker(bins, bins.codes(valid.values), valid.labels)


def test_a_prediction_is_the_calibrated_score_of_lightgbm(ranker, trained, bins, valid):
    predictions = ranker.predict(valid.values)
    assert tuple(predictions) == ranker.heads == ("like", "watch_ratio", "watch_time")
    codes = bins.codes(valid.values).astype(np.float32)
    for head, prediction in predictions.items():
        raw = lgb.Booster(model_str=trained.heads[head].model).predict(codes, raw_score=True)
        assert prediction.dtype == np.float64
        assert np.array_equal(prediction, ranker.calibrators[head].apply(raw))


def test_probabilities_agree_with_what_happened(ranker, valid):
    assert calibration_error(valid.labels["like"], ranker.predict(valid.values)["like"]) < 0.04


def test_nan_and_infinite_values_are_ranked(ranker):
    odd = np.array([[np.nan] * 6, [np.inf] * 6, [-np.inf] * 6], np.float32)
    for prediction in ranker.predict(odd).values():
        assert np.isfinite(prediction).all()
    taste = np.array([[np.nan, 20, 1, 3, 0, 2.5], [2, 20, 1, 3, 0, 2.5]], np.float32)
    blind, seeing = ranker.predict(taste)["like"]
    assert blind < 0.2 < 0.6 < seeing


def test_no_rows_give_no_predictions(ranker):
    assert {p.shape for p in ranker.predict(np.empty((0, 6), np.float32)).values()} == {(0,)}


def test_a_row_is_ranked_the_same_alone_and_among_others(ranker, valid):
    together = ranker.predict(valid.values)["like"]
    alone = [ranker.predict(valid.values[r : r + 1])["like"][0] for r in range(50)]
    assert together[:50].tolist() == alone


def test_a_saved_ranker_predicts_the_same_bits(ranker, valid, tmp_path):
    ranker.save(tmp_path / "bundle")
    again = Ranker.load(tmp_path / "bundle", ranker.feature_names)
    again.warm_up()
    assert again.feature_names == ranker.feature_names
    for head, prediction in again.predict(valid.values).items():
        assert np.array_equal(prediction, ranker.predict(valid.values)[head])


def test_other_features_are_refused(ranker, tmp_path):
    ranker.save(tmp_path)
    with pytest.raises(SchemaMismatch, match=r"lacking \['flat'\], foreign \['flatt'\]"):
        Ranker.load(tmp_path, (*ranker.feature_names[:-1], "flatt"))
    with pytest.raises(SchemaMismatch, match="the order"):
        ranker.check_features(ranker.feature_names[::-1])
    with pytest.raises(SchemaMismatch, match="fitted on 6 features"):
        ranker.predict(np.zeros((3, 5), np.float32))


def test_parts_that_were_not_trained_together_are_refused(ranker):
    other = SharedBins.fit(np.zeros((2, 5), np.float32))
    with pytest.raises(SchemaMismatch, match="bins of 5"):
        Ranker(other, ranker.forest, ranker.calibrators, ranker.feature_names)
    with pytest.raises(SchemaMismatch, match="calibrators"):
        Ranker(ranker.bins, ranker.forest, {}, ranker.feature_names)


def test_an_absent_or_damaged_file_is_named(ranker, tmp_path):
    with pytest.raises(NotFound, match=r"no ranker\.npz"):
        Ranker.load(tmp_path)
    ranker.save(tmp_path)
    whole = (tmp_path / FILE).read_bytes()
    (tmp_path / FILE).write_bytes(whole[:-200])
    with pytest.raises(CorruptData):
        Ranker.load(tmp_path)
