from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from deeplab.images import (
    mirrored,
    read_header,
    read_labels,
    read_small,
    resize_image,
    resize_labels,
    size_at,
    turn_upright,
)

from ._pictures import ORIENTATIONS, saved


def test_resized_labels_are_those_of_the_nearest_pixels():
    labels = np.array([[0, 7, 255]], np.uint8)
    assert resize_labels(labels, (2, 6)).tolist() == [[0, 0, 7, 7, 255, 255]] * 2
    assert resize_labels(labels, (1, 1)).tolist() == [[7]]
    assert resize_labels(labels.astype(np.uint16), (1, 3)).dtype == np.uint16


def test_a_resized_image_has_the_size_height_first(make_image):
    assert resize_image(make_image(40, 30), (20, 60)).shape == (20, 60, 3)


def test_an_image_of_the_right_size_stays_the_same(make_image):
    image = make_image(5, 6)
    np.testing.assert_array_equal(resize_image(image, (5, 6)), image)


def test_shrinking_averages_so_that_fine_stripes_become_grey():
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[:, ::2] = 255
    small = resize_image(stripes, (8, 8))
    assert np.abs(small.astype(int) - 128).max() <= 8  # without antialiasing: 0 or 255


def test_the_longer_side_gets_the_length_and_the_shorter_follows():
    assert size_at(20, (100, 50)) == (20, 10)
    assert size_at(20, (1, 1000)) == (1, 20)
    assert size_at(50, (3, 100)) == (2, 50)  # rounded
    assert size_at(None, (7, 9)) == (7, 9)


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_pixels_are_turned_upright_as_a_file_is(tmp_path, orientation):
    values = np.arange(12, dtype=np.uint8).reshape(3, 4)
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = saved(tmp_path, Image.fromarray(values), exif=exif)
    assert read_header(path).orientation == read_small(path, (3, 4))[0].orientation == orientation
    assert np.array_equal(turn_upright(values, orientation), read_labels(path))


def test_a_mirrored_picture_goes_on_in_its_mirror_images(make_image):
    image = make_image(4, 5)
    np.testing.assert_array_equal(mirrored(image, (3, 2)), image[:3, :2])
    large = mirrored(image, (9, 12))
    np.testing.assert_array_equal(large[4:8, 5:10], image[::-1, ::-1])
    np.testing.assert_array_equal(large[8:, 10:], image[:1, :2])
