import json

import numpy as np
import pytest

from deeplab.evaluation import Report


@pytest.fixture
def report():
    return Report(("road", "sky", "Bär"), np.array([[3, 1, 0], [0, 4, 0], [0, 0, 0]]), images=2)


def test_figures_are_those_of_the_matrix(report):
    assert report.iou == {"road": 3 / 4, "sky": 4 / 5, "Bär": None}
    assert report.miou == pytest.approx((3 / 4 + 4 / 5) / 2)
    assert report.pixel_accuracy == 7 / 8
    assert report.mean_accuracy == pytest.approx((3 / 4 + 1) / 2)
    assert report.pixels == {"road": 4, "sky": 4, "Bär": 0}


def test_json_is_one_line_with_null_for_what_cannot_be_measured(report):
    text = report.to_json()
    assert "\n" not in text
    assert json.loads(text) == {
        "miou": report.miou,
        "pixel_accuracy": 7 / 8,
        "mean_accuracy": report.mean_accuracy,
        "iou": {"road": 3 / 4, "sky": 4 / 5, "Bär": None},
        "pixels": {"road": 4, "sky": 4, "Bär": 0},
        "images": 2,
    }


def test_json_of_nothing_measured_is_valid():
    figures = json.loads(Report(("road",), np.zeros((1, 1), np.int64), images=1).to_json())
    assert figures["miou"] is figures["pixel_accuracy"] is figures["mean_accuracy"] is None


def test_a_report_shows_its_figures_in_a_line():
    report = Report(("road", "sky"), np.array([[3, 1], [0, 4]]), images=2)
    assert repr(report) == "Report(2 images, mIoU 0.775, pixel accuracy 0.875)"
