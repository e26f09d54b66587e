from __future__ import annotations

import logging

import numpy as np
import pytest

from deeplab.data import load_sample, open_dataset
from deeplab.errors import DataError

LABELS = "<label><name>road</name></label><label><name>cat</name><type>mask</type></label>"
SIZE = 'width="8" height="6"'
HALF = '<box label="road" xtl="0" ytl="0" xbr="4" ybr="6" z_order="{}"/>'
BOX = '<box label="cat" xtl="2" ytl="1" xbr="5" ybr="4"/>'


@pytest.fixture
def opened(tmp_path, write):
    """`opened(shapes)`: a data set of one image with these shapes, or with the annotations as they are given."""

    def apply(shapes="", *, labels=LABELS, image=SIZE, annotations=None):
        write(tmp_path / "images/a.png", np.zeros((6, 8, 3), np.uint8))
        meta = f"<version>1.1</version><meta><task><labels>{labels}</labels></task></meta>"
        text = f'<annotations>{meta}<image id="0" name="a.png" {image}>{shapes}</image></annotations>'
        (tmp_path / "annotations.xml").write_text(annotations or text, encoding="utf-8")
        return open_dataset(tmp_path)

    return apply


def rows_of(dataset):
    labels = load_sample(dataset.split("train")[0], dataset)[1]
    return ["".join(".#2"[label] for label in row) for row in labels]


@pytest.mark.parametrize(
    ("shape", "rows"),
    [
        (BOX, ["." * 8, *["..222..."] * 3, "." * 8, "." * 8]),
        (
            '<box label="cat" xtl="1" ytl="2" xbr="5" ybr="4" rotation="90"/>',
            ["." * 8, *["..22...."] * 4, "." * 8],
        ),
        (
            '<box label="cat" xtl="0" ytl="2.5" xbr="8" ybr="3.5" rotation="45"/>',  # clockwise
            [".2......", "..2.....", "...2....", "....2...", ".....2..", "......2."],
        ),
        (
            '<polygon label="cat" points="0,0;6.00,0;0,4.00"><attribute name="old">no</attribute></polygon>',
            ["22222...", "2222....", "22......", "2.......", "." * 8, "." * 8],
        ),
        (
            '<ellipse label="cat" cx="4" cy="3" rx="3" ry="1" rotation="90"/>',
            ["...22...", "...22...", "...22...", "...22...", "...22...", "...22..."],
        ),
        (
            '<mask label="cat" rle="1, 3, 2" left="3" top="2" width="3" height="2"/>',
            ["." * 8, "." * 8, "....22..", "...2....", "." * 8, "." * 8],
        ),
    ],
    ids=["box", "turned box", "half turned box", "polygon", "ellipse", "mask"],
)
def test_every_kind_of_shape_is_drawn(opened, shape, rows):
    assert rows_of(opened(shape)) == rows


def test_shapes_are_painted_by_z_order_then_as_they_come(opened):
    assert rows_of(opened(BOX + HALF.format(0)))[1] == "####2..."
    assert rows_of(opened(HALF.format(0) + BOX))[1] == "##222..."
    assert rows_of(opened(HALF.format(1) + BOX))[1] == "####2..."


def test_classes_are_background_and_the_labels_that_areas_have(opened):
    points = "<label><name>nose</name><type>points</type></label>"
    dataset = opened(labels=points + LABELS + "<label><name>background</name><color>#010a10</color></label>")
    assert dataset.classes == ("background", "road", "cat")
    assert dataset.palette[0].tolist() == [1, 10, 16]


def test_what_covers_no_area_is_left_out_with_a_warning(opened, caplog):
    with caplog.at_level(logging.WARNING):
        dataset = opened(
            '<polyline label="cat" points="0,0;5,5"/><points label="nose" points="1,1"/><tag label="wet"/>'
        )
    assert rows_of(dataset) == ["........"] * 6
    assert caplog.messages[0].endswith("left out what covers no area: 1 points, 1 polyline")


def test_without_subsets_all_is_for_training(opened):
    assert set(opened().splits) == set(opened(image=f'{SIZE} subset="default"').splits) == {"train"}


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"annotations": "<annotations><image"}, r"annotations\.xml: not XML \(unclosed token"),
        ({"annotations": "<annotations><track/></annotations>"}, "holds tracks of a video; export it as"),
        ({"labels": ""}, "names no labels"),
        ({"labels": LABELS + "<label><name>sky</name><color>red</color></label>"}, "colour red: non-hexadecimal"),
        ({"image": ""}, r"image a\.png: 'height' is missing"),
        (
            {"image": f'{SIZE} subset="x"', "shapes": BOX.replace("cat", "cta")},
            r"image a\.png: no class 'cta'; did you",
        ),
        ({"shapes": '<polygon label="cat" points="1,2;3"/>'}, r"image a\.png: a polygon: .*inhomogeneous"),
        ({"shapes": '<box label="cat" xtl="1"/>'}, r"image a\.png: a box: 'ytl' is missing"),
        ({"shapes": '<mask label="cat" rle="a" left="0" top="0" width="1" height="1"/>'}, "a mask: invalid literal"),
    ],
)
def test_a_file_that_is_not_as_cvat_writes_it_is_refused(opened, given, problem):
    with pytest.raises(DataError, match=problem) as caught:
        opened(**given)
    assert "\n" not in str(caught.value)


def test_a_missing_image_is_named(opened, tmp_path):
    opened()
    (tmp_path / "images/a.png").unlink()
    with pytest.raises(DataError, match=r"annotations\.xml: no image 'a\.png'; put it into .*images"):
        open_dataset(tmp_path)
