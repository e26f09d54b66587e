import json

import numpy as np
import pytest

from deeplab.evaluation import Report
from deeplab.evaluation.report import TRIMAP_WIDTHS, Boundaries, ObjectSizes
from deeplab.metrics import OBJECT_SIZES, Areas


def make(classes, *matrices, objects=None):
    """A report of images with these confusion matrices and, of objects, these counts by class."""
    matrices = np.array(matrices)
    names = tuple(f"{number}.png" for number in range(len(matrices)))
    if objects is None:
        objects = np.zeros((len(matrices), len(classes), len(OBJECT_SIZES), 3), np.int64)
    sizes = ObjectSizes(objects.sum(axis=1), objects.sum(axis=0))
    return Report(classes, matrices.sum(axis=0), names, np.array([Areas.of(matrix) for matrix in matrices]), sizes)


@pytest.fixture
def report():
    return make(("road", "sky", "Bär"), [[3, 1, 0], [0, 0, 0], [0, 0, 0]], [[0, 0, 0], [0, 4, 0], [0, 0, 0]])


def test_figures_are_those_of_the_matrix(report):
    assert report.iou == {"road": 3 / 4, "sky": 4 / 5, "Bär": None}
    assert report.miou == pytest.approx((3 / 4 + 4 / 5) / 2)
    assert report.pixel_accuracy == 7 / 8
    assert report.mean_accuracy == pytest.approx((3 / 4 + 1) / 2)
    assert report.pixels == {"road": 4, "sky": 4, "Bär": 0}


def test_json_is_one_line_with_null_for_what_cannot_be_measured(report):
    text = report.to_json()
    assert "\n" not in text
    figures = json.loads(text)
    assert figures["miou"] == report.miou
    assert figures["mean_dice"] == pytest.approx((6 / 7 + 8 / 9) / 2)
    assert figures["frequency_weighted_iou"] == pytest.approx((3 / 4 + 4 / 5) / 2)
    assert figures["iou"] == {"road": 3 / 4, "sky": 4 / 5, "Bär": None}
    assert figures["pixels"] == {"road": 4, "sky": 4, "Bär": 0}
    assert figures["images"] == 2
    assert figures["iou_intervals"]["Bär"] == [None, None]
    assert "boundary_iou" not in figures
    assert "calibration_error" not in figures


def test_json_has_the_objects_by_size():
    objects = np.zeros((2, 2, len(OBJECT_SIZES), 3), np.int64)
    objects[0, 0, 3] = 2, 200, 100  # of the first image and class, two objects of 8 .. 16 pixels, half of them found
    objects[1, 1, 3] = 1, 100, 100
    figures = json.loads(make(("road", "sky"), [[1, 0], [0, 0]], [[1, 0], [0, 0]], objects=objects).to_json())
    assert figures["object_sizes"] == [
        {
            "from": 8,
            "below": 16,
            "objects": 3,
            "pixels": 300,
            "recall": 200 / 300,
            "interval": [0.5, 1.0],  # of samples with the first image only, and with the second only
            "recall_by_class": {"road": 0.5, "sky": 1.0},
        }
    ]


def test_json_of_nothing_measured_is_valid():
    figures = json.loads(make(("road",), [[0]]).to_json())
    assert figures["miou"] is figures["pixel_accuracy"] is figures["mean_accuracy"] is None


def test_a_report_shows_its_figures_in_a_line():
    report = make(("road", "sky"), [[3, 1], [0, 4]], [[0, 0], [0, 0]])
    assert repr(report) == "Report(2 images, mIoU 0.775, pixel accuracy 0.875)"


def test_intervals_hold_what_other_images_would_give(report):
    """Of the two images a sample has the first only (IoU 3/4 and 0), the second only, or both."""
    road = report.iou_intervals["road"]
    assert (road.value, road.low, road.high) == (3 / 4, 3 / 4, 3 / 4)  # left out where it does not occur
    accuracy = report.intervals["pixel_accuracy"]
    assert (accuracy.low, accuracy.value, accuracy.high) == (3 / 4, 7 / 8, 1)


def test_figures_of_borders_are_each_of_its_own_counts():
    f_score, iou = np.array([[[1.0, 1], [0, 1]]]), np.array([[[3.0, 4], [3, 4]]])
    found = Boundaries(f_score, iou, np.zeros((len(TRIMAP_WIDTHS), 2, 2), np.int64)).intervals
    assert (found["boundary_f_score"].value, found["boundary_iou"].value) == (0.5, 0.75)


def test_one_image_has_no_interval():
    assert np.isnan(make(("road", "sky"), [[3, 1], [0, 4]]).intervals["miou"].low)


def test_the_table_has_a_line_for_each_image(report):
    head, first, second = report.to_csv().splitlines()
    assert head == "image,miou,pixel_accuracy,road,sky,Bär"
    assert first == "0.png,0.3750,0.7500,0.7500,0.0000,"
    assert second == "1.png,1.0000,1.0000,,1.0000,"
