from __future__ import annotations

import base64
import io
import json
import logging

import numpy as np
import pytest
from PIL import Image

from deeplab.data import load_sample, open_dataset
from deeplab.errors import DataError

TURNED = [[4, 0.4], [6.6, 3], [4, 5.6], [1.4, 3]]
"""The corners of a square that stands on one of them."""


@pytest.fixture
def change(make):
    """`change(**fields)`: a data set in which the first file of shapes has these fields, opened."""
    root = make("labelme").root
    file = root / "train/a.json"

    def apply(**fields):
        file.write_text(json.dumps({**json.loads(file.read_text()), **fields}))
        return open_dataset(root)

    return apply


def shape(kind, points, label="road", **fields):
    return {"label": label, "points": points, "shape_type": kind, **fields}


def labels_of(dataset):
    return load_sample(dataset.split("train")[0], dataset)[1]


def bitmap(rows):
    file = io.BytesIO()
    Image.fromarray(np.array(rows, np.uint8)).save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


@pytest.mark.parametrize(
    ("drawn", "rows"),
    [
        (shape("rectangle", [[5, 4], [2, 1]]), ["........", *["..###..."] * 3, "........", "........"]),
        (
            shape("circle", [[4, 3], [4, 1.2]]),
            ["........", *["...##...", "..####..", "..####..", "...##..."], "........"],
        ),
        (
            shape("mask", [[2, 1], [3, 2]], mask=bitmap([[0, 1], [1, 1]])),
            ["." * 8, "...#....", "..##...."] + ["." * 8] * 3,
        ),
        (
            shape("mask", [[3, 2], [2, 1]], mask=bitmap([[0, 1], [1, 1]])),  # the corners the other way round
            ["." * 8, "...#....", "..##...."] + ["." * 8] * 3,
        ),
        (shape(None, [[0, 0], [8, 0], [8, 1], [0, 1]]), ["########"] + ["........"] * 5),
        (
            shape("oriented_rectangle", TURNED),
            ["........", *["...##...", "..####..", "..####..", "...##..."], "........"],
        ),
        (
            shape("rotation", TURNED, direction=0.785),
            ["........", *["...##...", "..####..", "..####..", "...##..."], "........"],
        ),
    ],
    ids=["rectangle", "circle", "mask", "turned mask", "polygon", "turned rectangle", "the same of X-AnyLabeling"],
)
def test_every_kind_of_shape_is_drawn(change, drawn, rows):
    labels = labels_of(change(shapes=[drawn]))
    assert ["".join(".#"[int(label > 0)] for label in row) for row in labels] == rows


def test_later_shapes_lie_over_earlier_ones_and_background_is_a_label(change):
    band, hole = shape("rectangle", [[0, 0], [8, 2]]), shape("rectangle", [[2, 0], [3, 2]], "_background_")
    labels = labels_of(change(shapes=[band, hole]))
    assert labels[0].tolist() == labels[1].tolist() == [2, 2, 0, 2, 2, 2, 2, 2]
    assert labels_of(change(shapes=[hole, band]))[0].tolist() == [2] * 8


def test_what_covers_no_area_is_left_out_with_a_warning(change, caplog):
    with caplog.at_level(logging.WARNING):
        dataset = change(shapes=[shape("line", [[0, 0], [5, 5]]), shape("point", [[1, 1]]), shape("point", [[2, 1]])])
    assert not labels_of(dataset).any()
    assert "left out what covers no area: 1 line, 2 point" in caplog.text


def test_labels_of_points_and_lines_alone_are_no_classes(change, caplog):
    pole, corner = shape("linestrip", [[0, 0], [5, 5]], "pole"), shape("point", [[1, 1]], "corner")
    dataset = change(shapes=[shape("rectangle", [[0, 0], [8, 2]]), pole, corner])
    assert dataset.classes == ("background", "a cat", "road")
    assert "left out what covers no area: 1 linestrip, 1 point" in caplog.text


def test_without_a_list_the_classes_are_the_labels_sorted(make):
    assert open_dataset(make("labelme").root).classes == ("background", "a cat", "road")


def test_json_files_of_something_else_are_passed_over(make):
    root = make("labelme").root
    before = open_dataset(root)
    (root / "notes.json").write_text(" [1, 2]")
    (root / "more.json").write_text('{"notes": []}')
    after = open_dataset(root)
    assert (after.classes, list(after.splits)) == (before.classes, list(before.splits))


def test_a_list_gives_the_classes_and_their_order(make):
    root = make("labelme").root
    (root / "labels.txt").write_text("__ignore__\r\n_background_\r\nroad\r\nsky\r\na cat\r\n")
    dataset = open_dataset(root)
    assert (dataset.classes, dataset.class_list) == (("background", "road", "sky", "a cat"), root / "labels.txt")
    (root / "labels.txt").write_text("road\na cat\nroad\n")
    with pytest.raises(DataError, match=r"labels\.txt: line 3: class 'road' occurs twice"):
        open_dataset(root)
    (root / "labels.txt").write_text("rode\na cat\n")
    with pytest.raises(DataError, match=r"a\.json: shape 1: no class 'road'; did you mean rode\?"):
        open_dataset(root)


def test_one_folder_is_all_for_training(make):
    root = make("labelme").root
    for stem in ("a", "b"):
        for suffix in ("jpg", "json"):
            (root / f"train/{stem}.{suffix}").rename(root / f"{stem}.{suffix}")
    (root / "val/c.json").unlink()
    assert {name: len(samples) for name, samples in open_dataset(root).splits.items()} == {"train": 2}


def test_shapes_drawn_on_a_turned_image_are_refused(change):
    with pytest.raises(DataError, match=r"a\.json: mask is 8 x 6 .* it looks transposed"):
        labels_of(change(imageHeight=8, imageWidth=6))


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"imagePath": "d.jpg"}, r"a\.json: no image 'd\.jpg'; put it into .*train"),
        ({"imagePath": None}, r"a\.json: .*export or fetch it again"),
        ({"shapes": None}, r"a\.json: shapes: 'NoneType' object is not iterable"),
        ({"shapes": [{"points": []}]}, r"a\.json: shapes: 'label' is missing"),
        ({"shapes": [shape("polygon", [[1]])]}, r"a\.json: shape 1: not enough values"),
        ({"shapes": [shape("polygon", [])]}, r"a\.json: shape 1: not enough values"),
        ({"shapes": [shape("mask", [[1, 1], [2, 2]])]}, r"a\.json: shape 1: 'mask' is missing"),
    ],
)
def test_a_file_that_is_not_as_labelme_writes_it_is_refused(change, fields, problem):
    with pytest.raises(DataError, match=problem) as caught:
        change(**fields)
    assert "\n" not in str(caught.value)
