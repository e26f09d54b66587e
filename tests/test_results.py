"""A segmentation can be saved, looked at, measured and asked for one class."""

from __future__ import annotations

import numpy as np
import pytest

from deeplab.errors import OutputError, SettingsError, UnknownNameError
from deeplab.images import color_map, read_labels
from deeplab.results import Segmentation

CLASSES = ("background", "cat", "dog")
PALETTE = color_map(3)


@pytest.fixture
def segment(make_image):
    """`segment(labels, classes=CLASSES)`: the Segmentation of a picture of that size."""

    def make(labels, classes=CLASSES):
        labels = np.asarray(labels, dtype=np.uint8)
        probabilities = np.moveaxis(np.eye(len(classes), dtype=np.float32)[labels], -1, 0)
        image = make_image(*labels.shape)
        return Segmentation(labels, classes, PALETTE, image, compute_probabilities=lambda: probabilities.copy())

    return make


def test_areas_are_shares_of_the_pixels_largest_first(segment):
    areas = segment([[0, 2, 2, 2]]).areas()
    assert areas == {"dog": 0.75, "background": 0.25}
    assert list(areas) == ["dog", "background"]


def test_a_mask_is_where_a_class_is(segment):
    mask = segment([[0, 2, 1, 2]]).mask("dog")
    assert mask.dtype == np.bool_
    assert mask.tolist() == [[False, True, False, True]]


def test_the_mask_of_an_unknown_class_names_the_nearest(segment):
    with pytest.raises(UnknownNameError, match="did you mean dog"):
        segment([[0, 1]]).mask("dogs")


def test_saved_labels_are_read_back(segment, make_labels, tmp_path):
    result = segment(make_labels(9, 7, num_classes=3))
    result.save(tmp_path / "mask.png")
    np.testing.assert_array_equal(read_labels(tmp_path / "mask.png"), result.labels)


def test_labels_are_not_saved_in_a_lossy_format(segment, tmp_path):
    with pytest.raises(OutputError, match=r"\.png"):
        segment([[0, 1]]).save(tmp_path / "mask.jpg")


def test_probabilities_are_computed_once_and_only_when_asked_for(segment):
    calls = []

    def compute():
        calls.append(1)
        return np.zeros((3, 1, 2), dtype=np.float32)

    result = Segmentation(np.zeros((1, 2), np.uint8), CLASSES, PALETTE, np.zeros((1, 2, 3), np.uint8), compute)
    result.areas()
    assert not calls
    assert result.probabilities is result.probabilities
    assert len(calls) == 1


def test_the_overlay_tints_objects_and_leaves_the_background(segment):
    labels = np.zeros((40, 40), np.uint8)
    labels[:, 20:] = 1
    result = segment(labels)
    overlay = np.asarray(result.overlay(opacity=0.5))
    np.testing.assert_array_equal(overlay[:, :20], result.image[:, :20])
    mean = (result.image[:, 25:].astype(int) + PALETTE[1]) / 2
    assert np.abs(overlay[:, 25:] - mean).max() <= 0.5  # rounding


def test_a_first_class_of_another_name_is_tinted_as_well(segment):
    result = segment(np.zeros((9, 9)), classes=("road", "car", "sky"))
    np.testing.assert_array_equal(result.overlay(opacity=1), 0)  # class 0 is black


def test_borders_are_light_lines_on_the_object(segment):
    labels = np.zeros((40, 40), np.uint8)
    labels[:, 20:] = 1
    overlay = np.asarray(segment(labels).overlay(opacity=0))
    assert overlay[5, 20].min() > 170  # PALETTE[1] has 128 at most, and black parts
    np.testing.assert_array_equal(overlay[:, 21:], segment(labels).image[:, 21:])


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (9, 1), (2, 2)])
def test_tiny_overlays_have_the_size_of_the_image(segment, make_labels, size):
    assert segment(make_labels(*size, num_classes=3)).overlay().size == size[::-1]


def test_an_overlay_made_in_strips_is_the_same(segment, make_labels, monkeypatch):
    result = segment(make_labels(50, 40, num_classes=3))
    whole = np.array(result.overlay())
    monkeypatch.setattr("deeplab.results.STRIP", 7)
    np.testing.assert_array_equal(np.array(result.overlay()), whole)


def test_an_overlay_changes_neither_labels_nor_image(segment, make_labels):
    result = segment(make_labels(9, 7, num_classes=3))
    labels, image = result.labels.copy(), result.image.copy()
    result.overlay()
    np.testing.assert_array_equal(result.labels, labels)
    np.testing.assert_array_equal(result.image, image)


@pytest.mark.parametrize("opacity", [-0.1, 1.1, 60, float("nan")])
def test_an_opacity_outside_0_to_1_is_refused(segment, opacity):
    with pytest.raises(SettingsError, match="from 0 to 1"):
        segment([[0, 1]]).overlay(opacity=opacity)


def test_a_result_shows_its_size_and_classes(segment):
    assert repr(segment([[0, 2, 2, 2]])) == "<Segmentation 1 x 4: dog 75.0%, background 25.0%>"
