"""Regions give the pixels that COCO's own tools give them; the pictures here were recorded from pycocotools 2.0.11."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from deeplab.data.drawing import Bitmap, Drawing, Polygon, Runs, decompress
from deeplab.errors import DataError


def drawn(*regions, size=(4, 6), **options):
    """Rows of the labels as text, 0 as a dot."""
    labels = Drawing("drawing", [*enumerate(regions, start=1)], **options).read(size)
    return ["".join(map(str, row)).replace("0", ".") for row in labels]


@pytest.mark.parametrize(
    ("points", "rows"),
    [
        ([1, 1, 4, 1, 4, 3, 1, 3], ["......", ".111..", ".111..", "......"]),
        ([0.5, 0.5, 2.5, 0.5, 2.5, 2.5, 0.5, 2.5], ["......", ".11...", ".11...", "......"]),
        ([0, 0, 6, 0, 0, 4], ["11111.", "1111..", "11....", "1....."]),
        ([1.3, 0.2, 5.6, 1.9, 3.1, 3.8], ["......", "..111.", "...11.", "...1.."]),
        ([0, 0, 6, 4, 6, 0, 0, 4], ["1....1", "11..11", "11..11", "1....1"]),
        ([0, 0, 6, 0, 6, 4, 0, 4, 0, 0, 2, 1, 4, 1, 4, 3, 2, 3, 2, 1], ["111111", "11..11", "11..11", "111111"]),
        ([-5, -5, 3, -5, 3, 2, -5, 2], ["111...", "111...", "......", "......"]),
        ([7, 1, 9, 1, 9, 3], ["......"] * 4),
        ([2, 1, 4, 3], ["......"] * 4),
    ],
    ids=["square", "halves", "triangle", "tenths", "bow tie", "hole", "over the edge", "beside", "two corners"],
)
def test_a_polygon_has_the_pixels_that_coco_gives_it(points, rows):
    assert drawn(Polygon.of(points)) == rows
    assert drawn(Polygon.of(np.reshape(points, (-1, 2))[::-1])) == rows


@pytest.mark.parametrize("points", [[1, 2, 3], [float("nan"), 0, 1, 1, 2, 2], [1e6, 0, 1, 1, 2, 2], ["a", "b"]])
def test_corners_that_are_no_points_are_refused(points):
    with pytest.raises(ValueError):
        Polygon.of(points)


RUNS = [1, 1, 4, 3, 2, 1]  # columns: .1. ... 111 ..1
PICTURE = ["..1.", "1.1.", "..11"]


@pytest.mark.parametrize("counts", [np.array(RUNS), "1142NN"], ids=["numbers", "text"])
def test_cocos_run_lengths_go_down_the_columns(counts):
    assert drawn(Runs(counts, (3, 4), by_column=True), size=(3, 4)) == PICTURE


def test_run_lengths_in_a_box_go_along_its_rows():
    runs = Runs(np.array([1, 3, 2]), (2, 3), corner=(1, 2))
    assert drawn(runs) == ["......", "...11.", "..1...", "......"]


@pytest.mark.parametrize(("size", "corner"), [((5, 5), (0, 0)), ((2, 2), (3, 0)), ((2, 2), (0, 5)), ((2, 2), (-1, 0))])
def test_a_box_that_reaches_beyond_the_image_is_refused(size, corner):
    with pytest.raises(DataError, match=r"a box of . x . pixels at \(row .*is not within the image of 4 x 6"):
        drawn(Runs(np.array([0, size[0] * size[1]]), size, corner=corner))


def test_long_runs_take_several_characters():
    assert decompress("b11U2U2ZNkMca9").tolist() == [50, 1, 69, 70, 15, 1, 9794]


@pytest.mark.parametrize(("text", "problem"), [("1142N\x1f", "does not occur"), ("11U", "middle of a number")])
def test_a_damaged_text_of_run_lengths_is_refused(text, problem):
    with pytest.raises(ValueError, match=problem):
        decompress(text)


def test_run_lengths_that_do_not_fill_their_box_are_refused_with_the_name_of_the_drawing():
    with pytest.raises(DataError, match="drawing: region 1: run lengths of 11 pixels in all do not fill 3 x 4"):
        drawn(Runs(np.array([1, 10]), (3, 4)))


def test_a_bitmap_is_where_its_picture_is_not_zero(tmp_path):
    Image.fromarray(np.array([[0, 1], [255, 0]], np.uint8)).save(tmp_path / "bits.png")
    assert drawn(Bitmap(tmp_path / "bits.png", (1, 2))) == ["......", "...1..", "..1...", "......"]


def test_later_regions_lie_over_earlier_ones():
    square = Polygon.of([1, 1, 4, 1, 4, 3, 1, 3])
    assert drawn(square, Polygon.of([3, 0, 6, 0, 6, 2, 3, 2])) == ["...222", ".11222", ".111..", "......"]
    assert drawn(square, background=7) == ["777777", "711177", "711177", "777777"]
