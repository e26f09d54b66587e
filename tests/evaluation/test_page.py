"""What the pages say: each figure of its own counts, each picture under its own title."""

import re
from types import SimpleNamespace

import numpy as np
import pytest

from deeplab.evaluation import Comparison, Report, write_comparison, write_page
from deeplab.evaluation.report import Boundaries, ObjectSizes
from deeplab.metrics import Areas

DATASET = SimpleNamespace(palette=np.zeros((2, 3), np.uint8))
RIGHT, WRONG = [[1, 0], [0, 1]], [[0, 1], [1, 0]]


def report(*matrices, boundaries=None):
    matrices = np.array(matrices)
    names = tuple(f"{number}.png" for number in range(len(matrices)))
    none = np.zeros((len(matrices), 1, 3), np.int64)
    areas = np.array([Areas.of(matrix) for matrix in matrices])
    return Report(("road", "sky"), matrices.sum(axis=0), names, areas, ObjectSizes(none, none[:2]), boundaries)


@pytest.fixture(autouse=True)
def _no_pictures(monkeypatch):
    monkeypatch.setattr("deeplab.evaluation.page._pictures", lambda samples, *others: samples)


@pytest.fixture
def written(tmp_path):
    """`written(report)`: the page, with nothing in the place of its pictures."""

    def write(found):
        samples = [""] * len(found.names)
        write_page(tmp_path / "page.html", found, title="", segmenter=None, dataset=DATASET, samples=samples)
        return (tmp_path / "page.html").read_text(encoding="utf-8")

    return write


def in_order(text, *parts):
    """Whether each of them stands behind the one before it."""
    return re.search(".*".join(map(re.escape, parts)), text, re.DOTALL) is not None


def test_a_class_is_mistaken_by_the_share_of_its_own_pixels(written):
    assert in_order(written(report([[1, 3], [0, 4]])), "What is mistaken for what", "75.0%")


def test_what_is_wrong_by_distance_is_of_the_pixels_between_two_widths(written):
    trimaps = np.zeros((6, 2, 2), np.int64)
    trimaps[0] = [[0, 10], [0, 0]]  # all within one pixel of a border are wrong
    trimaps[1:] = [[30, 10], [0, 0]]  # and none of those beyond
    text = written(report(RIGHT, boundaries=Boundaries(np.zeros((1, 2, 2)), np.zeros((1, 2, 2)), trimaps)))
    assert in_order(text, "Near borders", "0 .. 1 px", "100.0%", "1 .. 2 px", "0.0%")
    assert "25.0%" not in text


def test_the_worst_and_the_best_images_are_under_their_titles(written):
    text = written(report(RIGHT, WRONG))
    assert in_order(text, "Worst images", "1.png: mIoU 0.000", "Best images", "0.png: mIoU 1.000", "All images")


def test_images_are_under_the_model_that_is_better_there(tmp_path):
    found = Comparison(report(RIGHT, WRONG), report(WRONG, RIGHT))
    models = {"names": ("A", "B"), "segmenters": (None, None)}
    write_comparison(tmp_path / "page.html", found, **models, dataset=DATASET, samples=["", ""])
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert in_order(
        text,
        *("Where B is better", "1.png: pixel accuracy +1.000"),
        *("Where A is better", "0.png: pixel accuracy -1.000"),
    )
