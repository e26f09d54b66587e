import math

import numpy as np
import pytest

from deeplab.errors import DataError
from deeplab.metrics import (
    boundary_f_score,
    boundary_iou,
    class_ratios,
    iou,
    mean_class_ratio,
    miou,
    trimap_confusion,
)
from deeplab.metrics.boundary import _distances, _is_border


def halves(column, *, height=30, width=40, ignored=()):
    """Class 1 from this column on, and ignored columns."""
    labels = np.zeros((height, width), np.uint8)
    labels[:, column:] = 1
    labels[:, list(ignored)] = 255
    return labels


def eroded(mask, times):
    """A mask less what is within `times` pixels of its outside, as the authors of boundary IoU write it."""
    mask = np.pad(mask, 1)
    for _ in range(times):
        padded = np.pad(mask, 1)
        mask = np.all([np.roll(padded, (y, x), (0, 1))[1:-1, 1:-1] for y in (-1, 0, 1) for x in (-1, 0, 1)], axis=0)
    return mask[1:-1, 1:-1]


def test_a_shift_within_the_tolerance_is_no_error():
    target = halves(20)  # the diagonal is 50 pixels
    within = boundary_f_score(halves(22), target, num_classes=2, tolerance=2.1 / 50)
    beyond = boundary_f_score(halves(22), target, num_classes=2, tolerance=2 / 50)
    assert mean_class_ratio(within) == 1
    assert mean_class_ratio(beyond) == 0


def test_the_tolerance_is_that_of_the_paper():
    target = halves(100, height=300, width=400)  # a diagonal of 500 pixels: nearer than 3.75
    assert mean_class_ratio(boundary_f_score(halves(103, height=300, width=400), target, num_classes=2)) == 1
    assert mean_class_ratio(boundary_f_score(halves(104, height=300, width=400), target, num_classes=2)) == 0


def test_the_f_score_is_the_harmonic_mean_of_precision_and_recall():
    target = halves(20)
    labels = target.copy()
    labels[:15, 20:] = 0  # the upper half of the border is gone, and there is one from column 20 to 39 in row 15
    found = class_ratios(boundary_f_score(labels, target, num_classes=2, tolerance=0.5 / 50))
    precision, recall = 15 / (15 + 19), 15 / 30  # of class 1: row 15 has 20 contour pixels, one of them in column 20
    assert found[1] == pytest.approx(2 * precision * recall / (precision + recall))


def test_f_scores_of_images_are_averaged_by_class():
    target = halves(20)
    missed = np.zeros_like(target)  # class 0 has no contour either: 0, as class 1
    counts = boundary_f_score(target, target, num_classes=3) + boundary_f_score(missed, target, num_classes=3)
    np.testing.assert_array_equal(class_ratios(counts), [0.5, 0.5, np.nan])
    assert mean_class_ratio(counts) == 0.5


def test_classes_without_a_contour_are_left_out():
    whole = np.zeros((8, 8), np.uint8)
    for measure in (boundary_f_score, boundary_iou):
        assert math.isnan(class_ratios(measure(whole, whole, num_classes=2))[1])
    assert math.isnan(mean_class_ratio(boundary_f_score(whole, whole, num_classes=2)))


def test_a_class_only_predicted_counts_0():
    whole, halved = np.zeros((30, 40), np.uint8), halves(20)
    for measure in (boundary_f_score, boundary_iou):
        assert class_ratios(measure(halved, whole, num_classes=2))[1] == 0


def test_what_is_predicted_on_ignored_pixels_is_no_error(make_labels):
    target = halves(20, ignored=range(15, 25))
    labels = target.copy()
    labels[target == 255] = make_labels(30, 40)[target == 255]  # with classes that are nowhere else
    for measure in (boundary_f_score, boundary_iou):
        assert mean_class_ratio(measure(labels, target, num_classes=4)) == 1
    bands = trimap_confusion(labels, target, num_classes=4, widths=(2,))
    assert bands.sum() == 2 * 2 * 30


def test_all_ignored_is_nothing_to_measure_on():
    labels, target = np.zeros((6, 7), np.uint8), np.full((6, 7), 255, np.uint8)
    assert math.isnan(mean_class_ratio(boundary_f_score(labels, target, num_classes=2)))
    assert math.isnan(mean_class_ratio(boundary_iou(labels, target, num_classes=2)))
    assert trimap_confusion(labels, target, num_classes=2, widths=(3,)).sum() == 0


@pytest.mark.parametrize("size", [(60, 80), (60, 70), (1, 1), (1, 30), (30, 1)])
def test_boundary_iou_is_that_of_eroded_masks(make_labels, size):
    labels, target = make_labels(*size, seed=1), make_labels(*size, seed=2)
    counts = boundary_iou(labels, target, num_classes=4)
    pixels = max(1, round(0.02 * math.hypot(*size)))
    for index in range(4):
        bands = [mask & ~eroded(mask, pixels) for mask in (labels == index, target == index)]
        np.testing.assert_array_equal(counts[index], [(bands[0] & bands[1]).sum(), (bands[0] | bands[1]).sum()])


def test_a_wide_band_makes_boundary_iou_the_iou(make_labels):
    labels, target = make_labels(20, 30, seed=1), make_labels(20, 30, seed=2)
    matrix = trimap_confusion(labels, target, num_classes=4, widths=(100,))[0]
    np.testing.assert_allclose(class_ratios(boundary_iou(labels, target, num_classes=4, width=1)), iou(matrix))


def test_a_trimap_is_so_wide_to_each_side_of_a_border():
    labels = np.zeros((30, 40), np.uint8)
    bands = trimap_confusion(labels, halves(20), num_classes=2, widths=(1, 5, 100))
    assert [band.sum() for band in bands] == [30 * 2, 30 * 10, 30 * 40]
    assert [miou(band) for band in bands] == [0.25, 0.25, 0.25]


def test_trimaps_come_in_the_order_of_their_widths():
    bands = trimap_confusion(np.zeros((30, 40), np.uint8), halves(20), num_classes=2, widths=(100, 5, 1))
    assert [band.sum() for band in bands] == [30 * 40, 30 * 10, 30 * 2]


def test_an_error_far_from_the_borders_is_in_the_wide_trimap_only():
    target = halves(20)
    labels = target.copy()
    labels[:, 0] = 1
    narrow, wide = trimap_confusion(labels, target, num_classes=2, widths=(5, 40))
    assert miou(narrow) == 1
    assert miou(wide) < 1


def test_distances_are_exact_up_to_the_limit():
    points = np.random.default_rng(0).random((25, 33)) < 0.01
    every = np.hypot(*(np.indices(points.shape)[..., None] - np.argwhere(points).T[:, None, None])).min(axis=-1)
    found = _distances(points, at_most=6)
    near = every <= 6
    assert near.any()
    assert not near.all()
    np.testing.assert_allclose(found[near], every[near])
    assert (found[~near] > 6).all()


def test_distances_are_exact_in_the_last_rows_of_a_tall_image():
    points = np.zeros((40_000, 2), np.bool_)
    points[39_990] = True
    found = _distances(points, at_most=5)
    np.testing.assert_array_equal(found[39_985:39_996, 0], np.abs(np.arange(-5, 6)))
    assert (found[:39_985] > 5).all()


@pytest.mark.parametrize("size", [(60, 80), (1, 1), (1, 30), (30, 1)])
def test_the_f_score_is_that_of_the_distances_between_contours(make_labels, size):
    labels, target = make_labels(*size, seed=1), make_labels(*size, seed=2)
    tolerance = 0.03
    expected = np.zeros((4, 2))
    for index in range(4):
        ours, theirs = (_is_border(each) & (each == index) for each in (labels, target))
        expected[index, 1] = ours.any() or theirs.any()
        if ours.any() and theirs.any():
            limit = tolerance * math.hypot(*size)
            precision = (_distances(theirs, at_most=100)[ours] < limit).mean()
            recall = (_distances(ours, at_most=100)[theirs] < limit).mean()
            expected[index, 0] = 2 * precision * recall / (precision + recall) if precision + recall else 0
    np.testing.assert_allclose(boundary_f_score(labels, target, num_classes=4, tolerance=tolerance), expected)


def test_a_label_that_is_no_class_is_refused():
    with pytest.raises(DataError, match=r"label 1 in the truth is outside 0\.\.0"):
        boundary_iou(np.zeros((4, 4), int), np.ones((4, 4), int), num_classes=1)
