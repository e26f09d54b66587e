import json

import numpy as np
import pytest

from deeplab.errors import DataError
from deeplab.metrics import (
    Areas,
    confusion_matrix,
    dice,
    frequency_weighted_iou,
    iou,
    mean_accuracy,
    mean_dice,
    miou,
    pixel_accuracy,
    row_shares,
)

MATRIX = np.array([[3, 1, 0, 0], [0, 4, 0, 2], [0, 0, 0, 0], [0, 0, 0, 0]])
"""Class 2 is nowhere, class 3 only predicted."""

CASES = [
    "voc_all_present",
    "gt_few_classes_pred_many",
    "classes_absent_everywhere",
    "cityscapes19_no_ignore",
    "pred_never_predicts_class_0",
    "binary",
    "ade150",
    "one_image_all_ignored",
    "perfect",
]


@pytest.fixture(scope="module", params=CASES)
def golden(request, shared):
    folder = shared / "golden" / "metrics" / "miou"
    case = json.loads((folder / "case.json").read_text())["cases"][request.param]
    with np.load(folder / "inputs.npz") as inputs:
        arrays = {kind: inputs[f"{request.param}_{kind}"] for kind in ("gt", "pred", "confusion")}
    return case, arrays


def test_pixels_are_counted_as_by_others(golden):
    case, arrays = golden
    matrix = confusion_matrix(arrays["pred"], arrays["gt"], num_classes=case["classes"])
    np.testing.assert_array_equal(matrix, arrays["confusion"])


def test_figures_are_those_of_vainf_and_tensorflow(golden):
    case, arrays = golden
    matrix, theirs = arrays["confusion"], case["vainf"]
    by_class = [np.nan if value is None else value for value in theirs["Class IoU"].values()]
    np.testing.assert_allclose(iou(matrix), by_class, rtol=1e-12)
    assert miou(matrix) == pytest.approx(theirs["Mean IoU"], rel=1e-12)
    assert miou(matrix) == pytest.approx(case["tf_mean_iou"], rel=1e-6)  # float32
    assert pixel_accuracy(matrix) == pytest.approx(theirs["Overall Acc"], rel=1e-12)
    assert mean_accuracy(matrix) == pytest.approx(theirs["Mean Acc"], rel=1e-12)
    assert frequency_weighted_iou(matrix) == pytest.approx(theirs["FreqW Acc"], rel=1e-12)


def test_rows_are_true_and_columns_predicted_classes():
    matrix = confusion_matrix(np.array([[0, 1, 1]]), np.array([[0, 0, 255]]), num_classes=2)
    assert matrix.tolist() == [[1, 1], [0, 0]]
    assert matrix.dtype == np.int64


def test_a_class_only_predicted_has_iou_0_and_one_nowhere_has_none():
    np.testing.assert_allclose(iou(MATRIX), [3 / 4, 4 / 7, np.nan, 0])
    assert miou(MATRIX) == pytest.approx((3 / 4 + 4 / 7) / 3)


def test_mean_accuracy_is_over_the_true_classes():
    assert mean_accuracy(MATRIX) == pytest.approx((3 / 4 + 4 / 6) / 2)
    assert pixel_accuracy(MATRIX) == pytest.approx(7 / 10)


def test_row_shares_are_of_the_true_pixels_of_a_class():
    np.testing.assert_array_equal(row_shares(np.array([[1, 3], [0, 0]])), [[0.25, 0.75], [np.nan, np.nan]])


def test_dice_is_the_f_score_of_the_pixels():
    np.testing.assert_allclose(dice(MATRIX), [6 / 7, 8 / 11, np.nan, 0])
    assert mean_dice(MATRIX) == pytest.approx((6 / 7 + 8 / 11) / 3)


@pytest.mark.parametrize("figure", [iou, dice, miou, mean_dice, frequency_weighted_iou, pixel_accuracy, mean_accuracy])
def test_every_figure_is_made_of_the_areas_alone(figure):
    np.testing.assert_array_equal(figure(Areas.of(MATRIX)), figure(MATRIX))


def test_without_counted_pixels_the_figures_are_nan():
    target = np.full((3, 3), 255, np.uint8)
    matrix = confusion_matrix(np.zeros((3, 3), np.uint8), target, num_classes=2)
    assert not matrix.any()
    figures = (miou, mean_dice, frequency_weighted_iou, pixel_accuracy, mean_accuracy)
    assert np.isnan([figure(matrix) for figure in figures]).all()


def test_counts_beyond_32_bits_do_not_overflow():
    pixels = np.int64(2) ** 40
    matrix = np.array([[pixels, 0], [pixels, 2 * pixels]])
    np.testing.assert_allclose(iou(matrix), [1 / 2, 2 / 3])
    assert pixel_accuracy(matrix) == 3 / 4


def test_more_classes_than_a_byte_holds_are_counted():
    labels = np.array([[299, 0, 255]], np.uint16)
    target = np.array([[299, 298, 65535]], np.uint16)
    matrix = confusion_matrix(labels, target, num_classes=300, ignore_index=65535)
    assert matrix[299, 299] == matrix[298, 0] == 1
    assert matrix.sum() == 2


def test_what_is_predicted_on_ignored_pixels_does_not_matter():
    matrix = confusion_matrix(np.array([[9, 0]]), np.array([[255, 0]]), num_classes=2)
    assert matrix.tolist() == [[1, 0], [0, 0]]


@pytest.mark.parametrize(
    "labels, target, culprit",
    [
        ([0, 2], [0, 1], "label 2 in the prediction"),
        ([0, -1], [0, 1], "label -1 in the prediction"),
        ([0, 0], [37, 0], "label 37 in the truth"),
    ],
)
def test_a_label_out_of_range_is_refused(labels, target, culprit):
    with pytest.raises(DataError, match=f"{culprit} is outside 0..1"):
        confusion_matrix(np.array([labels]), np.array([target]), num_classes=2)


def test_shapes_that_differ_are_refused():
    with pytest.raises(DataError, match="shape"):
        confusion_matrix(np.zeros((2, 3), int), np.zeros((3, 2), int), num_classes=2)
