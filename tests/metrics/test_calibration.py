import numpy as np
import pytest

from deeplab.errors import DataError
from deeplab.metrics import calibration_counts, calibration_error, reliability


def sure(*confidences):
    """Probabilities (2, 1, N) of two classes, that of the first as given."""
    first = np.array([confidences], np.float32)
    return np.stack([first, 1 - first])


def test_pixels_lie_in_the_bin_of_their_largest_probability():
    counts = calibration_counts(sure(0.95, 0.9, 0.2, 0.5), np.array([[0, 1, 1, 255]]), bins=10)
    assert counts[:, 0].tolist() == [0, 0, 0, 0, 0, 0, 0, 1, 1, 1]  # 0.8 and 0.9 are the ends of theirs
    np.testing.assert_allclose(counts[[7, 8, 9]], [[1, 0.8, 1], [1, 0.9, 0], [1, 0.95, 1]], rtol=1e-6)


def test_the_value_that_is_ignored_is_the_one_that_is_named():
    counts = calibration_counts(sure(0.9, 0.6), np.array([[0, 7]]), ignore_index=7)
    assert counts[:, 0].sum() == 1


def test_the_error_is_the_mean_distance_weighed_by_pixels():
    counts = calibration_counts(sure(0.9, 0.9, 0.9, 0.6), np.array([[0, 0, 1, 1]]), bins=10)
    assert calibration_error(counts) == pytest.approx((abs(3 * 0.9 - 2) + 0.6) / 4, rel=1e-6)
    np.testing.assert_allclose(reliability(counts)[[5, 8]], [[0.6, 0], [0.9, 2 / 3]], rtol=1e-6)
    assert np.isnan(reliability(counts)[0]).all()


def test_the_error_is_of_fifteen_bins_as_in_the_paper():
    counts = calibration_counts(sure(0.62, 0.68), np.array([[0, 1]]))  # 10 / 15 is between them, and no tenth
    assert calibration_error(counts) == pytest.approx((0.38 + 0.68) / 2, rel=1e-6)


def test_a_model_that_is_right_as_often_as_it_says_has_none():
    generator = np.random.default_rng(0)
    confidences = generator.uniform(0.5, 1, 200_000)
    target = (generator.random(200_000) > confidences).astype(np.uint8)[np.newaxis]
    assert calibration_error(calibration_counts(sure(*confidences), target)) < 0.005


def test_images_add_up():
    generator = np.random.default_rng(1)
    probabilities, target = sure(*generator.random(50)), generator.integers(0, 2, (1, 50))
    halves = calibration_counts(probabilities[..., :20], target[:, :20]) + calibration_counts(
        probabilities[..., 20:], target[:, 20:]
    )
    np.testing.assert_allclose(halves, calibration_counts(probabilities, target))


def test_nothing_counted_is_nan_and_other_sizes_are_refused():
    assert np.isnan(calibration_error(calibration_counts(sure(0.7), np.array([[255]]))))
    with pytest.raises(DataError, match="give equal sizes"):
        calibration_counts(sure(0.7), np.zeros((2, 1), np.uint8))
