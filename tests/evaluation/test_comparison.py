import json

import numpy as np
import pytest

from deeplab.errors import DataError
from deeplab.evaluation import Comparison, Report
from deeplab.evaluation.report import ObjectSizes
from deeplab.metrics import Areas

CLASSES = ("road", "sky")


def report(*matrices, classes=CLASSES):
    matrices = np.array(matrices)
    names = tuple(f"{number}.png" for number in range(len(matrices)))
    objects = ObjectSizes(np.zeros((len(matrices), 1, 3)), np.zeros((len(classes), 1, 3)))
    return Report(classes, matrices.sum(axis=0), names, np.array([Areas.of(matrix) for matrix in matrices]), objects)


WORSE, BETTER = [[6, 4], [4, 6]], [[9, 1], [1, 9]]


def test_differences_are_the_second_less_the_first():
    found = Comparison(report(WORSE, WORSE, WORSE), report(BETTER, BETTER, BETTER))
    assert found.differences["pixel_accuracy"] == pytest.approx((0.3, 0.3, 0.3))
    assert found.iou_differences["sky"].value == pytest.approx(9 / 11 - 6 / 14)
    np.testing.assert_allclose(found.by_image(), 0.3)
    assert found.verdict(("a", "b")).startswith("b is better than a: by 0.3896 mIoU, 95 % 0.3896 .. 0.3896")


def test_the_first_may_be_the_better_one():
    found = Comparison(report(BETTER, BETTER), report(WORSE, WORSE))
    assert found.verdict(("a", "b")).startswith("a is better than b: by 0.3896 mIoU")


def test_images_that_disagree_do_not_tell():
    found = Comparison(report(WORSE, BETTER), report(BETTER, WORSE))
    assert "do not tell which is better: mIoU +0.0000" in found.verdict(("a", "b"))
    found = Comparison(report(WORSE, BETTER), report(WORSE, BETTER))
    assert "do not tell which is better: mIoU +0.0000" in found.verdict(("a", "b"))
    assert "one image tells nothing" in Comparison(report(WORSE), report(BETTER)).verdict(("a", "b"))


def test_masks_without_a_labelled_pixel_tell_nothing():
    nothing = [[0, 0], [0, 0]]
    verdict = Comparison(report(nothing, nothing), report(nothing, nothing)).verdict(("a", "b"))
    assert verdict == "every pixel of the masks is to be ignored, so that nothing was compared; take other images"


def test_json_holds_both_reports_and_null_for_what_cannot_be_measured():
    figures = json.loads(Comparison(report([[3, 0], [0, 0]]), report([[3, 0], [0, 0]])).to_json())
    assert figures["first"]["miou"] == figures["second"]["miou"] == 1
    assert figures["differences"]["miou"] == [0, None, None]
    assert figures["iou_differences"]["sky"] == [None, None, None]


def test_other_images_cannot_be_compared():
    with pytest.raises(DataError, match="measure both models on the same"):
        Comparison(report(WORSE), report(WORSE, BETTER))
    with pytest.raises(DataError, match="other images or classes"):
        Comparison(report(WORSE), report(BETTER, classes=("road", "tree")))
