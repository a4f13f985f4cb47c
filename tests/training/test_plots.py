"""The figures behind a run's plots, and that each is a PNG."""

import numpy as np
import pytest

from training.plots import (
    calibration_plot,
    contribution_plot,
    errors_by_duration,
    importance_plot,
    recall_plot,
    reliability,
    watch_error_plot,
)

PNG = b"\x89PNG\r\n\x1a\n"


def test_reliability_is_the_means_of_bins_of_equal_mass():
    label, prediction = np.array([0, 1, 0, 1.0]), np.array([0.1, 0.9, 0.3, 0.7])
    predicted, observed = reliability(label, prediction, bins=2)
    assert predicted == pytest.approx([0.2, 0.8])
    assert observed == pytest.approx([0.0, 1.0])


def test_more_bins_than_rows_are_as_many_as_rows():
    predicted, _ = reliability(np.array([0, 1.0]), np.array([0.2, 0.4]), bins=15)
    assert predicted == pytest.approx([0.2, 0.4])


def test_errors_go_by_the_length_of_the_video_and_empty_buckets_are_left_out():
    names, errors, counts = errors_by_duration(np.array([3, 6.9, 7, 400]), np.array([1, -3, 5, -7.0]))
    assert (names, errors, counts) == (["0-7", "7-15", "300+"], [2.0, 5.0, 7.0], [2, 1, 1])


@pytest.mark.parametrize(
    "plot",
    [
        lambda: recall_plot({"als": [0.1, 0.3], "blend": [0.2, 0.4]}, (20, 100)),
        lambda: calibration_plot({"click": (np.array([0, 1.0]), np.array([0.2, 0.7]))}),
        lambda: calibration_plot({}),
        lambda: watch_error_plot(np.array([3.0]), np.array([1.0])),
        lambda: watch_error_plot(np.zeros(0), np.zeros(0)),
        lambda: importance_plot({name: {"a": 1.0, "b": 0.0} for name in "vwxyz"}),
        lambda: contribution_plot(("a", "b"), np.zeros((1, 2)), np.zeros((1, 2), np.uint8), "click"),
    ],
)
def test_every_plot_is_a_png_and_the_same_again(plot):
    assert plot().startswith(PNG)
    assert plot() == plot()
