from itertools import pairwise

import numpy as np
import pytest

from deeplab.inference.tiles import Tiled

SIZES = [(64, 64), (128, 320), (320, 32), (224, 96), (1024, 64)]


class Cells:
    """A network whose logits are pixels of the image at a stride, of which none depends on any other."""

    name, device, fixed_size = "cells", "cpu", None

    def __init__(self, *, stride=8, align_corners=False):
        self.stride, self.align_corners = stride, align_corners
        self.seen = []

    def coarse_logits(self, images):
        self.seen.append(images.shape[1:3])
        assert images.flags.c_contiguous
        first = 0 if self.align_corners else self.stride // 2
        logits = np.moveaxis(images[:, first :: self.stride, first :: self.stride], -1, 1)
        return logits.astype(np.float32) / 7

    def grid_size(self, size):
        return size

    def fingerprint(self):
        return b"cells"


class Numbered(Cells):
    """A network that says of every tile which one it was."""

    def coarse_logits(self, images):
        logits = super().coarse_logits(images)
        return np.full_like(logits[:, :1], len(self.seen) - 1)


class Scaled(Cells):
    """A network that has so many points on 32 pixels."""

    def __init__(self, *, points, align_corners):
        super().__init__(align_corners=align_corners)
        self.points = points

    def coarse_logits(self, images):
        edge = int(self.align_corners)
        rows, columns = (
            np.arange((length - edge) * self.points // 32 + edge) * 32 // self.points for length in images.shape[1:3]
        )
        return np.moveaxis(images[:, rows][:, :, columns], -1, 1).astype(np.float32)


@pytest.mark.parametrize("tile_size", [32, 64, 100, 128, 161, 512])
@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize("size", SIZES)
def test_tiles_give_the_logits_of_the_whole_image_bit_by_bit(noise, size, align_corners, tile_size):
    edge = int(align_corners)
    images = np.stack([noise(size[0] + edge, size[1] + edge, seed) for seed in range(2)])
    network = Cells(align_corners=align_corners)
    whole = network.coarse_logits(images)
    np.testing.assert_array_equal(Tiled(network, tile_size=tile_size).coarse_logits(images), whole)


@pytest.mark.parametrize("stride", [1, 4, 16, 32])
def test_at_any_stride(noise, stride):
    images = noise(256, 352)[None]
    network = Cells(stride=stride)
    whole = network.coarse_logits(images)
    np.testing.assert_array_equal(Tiled(network, tile_size=96).coarse_logits(images), whole)


@pytest.mark.parametrize("points", [3, 5, 12])
@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize("tile_size", [64, 100, 161])
def test_at_a_stride_that_is_no_whole_number(noise, points, align_corners, tile_size):
    """As of a model whose largest scale is not 1: `points` of them lie on 32 pixels."""
    network = Scaled(points=points, align_corners=align_corners)
    edge = int(align_corners)
    image = noise(352 + edge, 256 + edge)
    whole = network.coarse_logits(image[None])
    tiled = Tiled(network, tile_size=tile_size)
    bands = list(tiled.bands(lambda rows, columns: image[None, rows, columns], image.shape[:2]))
    np.testing.assert_array_equal(np.concatenate(bands, axis=2), whole)
    assert tiled.rows_in_all(bands[0], len(image)) == whole.shape[2]


@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize("size", [(65, 33), (100, 333), (129, 1000), (97, 40)])
def test_an_image_off_the_grid_is_continued_to_it(noise, size, align_corners):
    network = Cells(align_corners=align_corners)
    tiled = Tiled(network, tile_size=64)
    image = noise(*size)
    found = tiled.coarse_logits(image[None])
    grid = tiled.grid_size(size)
    edge = int(align_corners)
    for there, wanted in zip(grid, size, strict=True):
        assert there == wanted if wanted <= 64 else (there - edge) % 32 == 0 and 0 <= there - wanted < 32
    below, beside = (there - wanted for there, wanted in zip(grid, size, strict=True))
    continued = np.pad(image, ((0, below), (0, beside), (0, 0)), mode="edge")
    np.testing.assert_array_equal(found, network.coarse_logits(continued[None]))


@pytest.mark.parametrize("tile_size", [33, 64, 97, 128, 512])
@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize("length", [33, 127, 128, 129, 130, 223, 500, 1031])
def test_all_tiles_have_one_size_and_none_is_larger_than_asked(noise, length, align_corners, tile_size):
    network = Cells(align_corners=align_corners)
    Tiled(network, tile_size=tile_size).coarse_logits(noise(length, 64)[None])
    assert len(set(network.seen)) == 1
    assert max(network.seen[0]) <= tile_size
    assert (len(network.seen) == 1) == (max(length, 64) <= tile_size)


def test_an_image_that_fits_is_seen_as_it_is(noise):
    network = Cells()
    image = noise(100, 60)[None]
    np.testing.assert_array_equal(Tiled(network, tile_size=100).coarse_logits(image), network.coarse_logits(image))
    assert network.seen == [(100, 60)] * 2


def test_neighbours_share_a_quarter_and_the_weight_goes_over_in_the_middle_of_it():
    network = Numbered(stride=4)
    images = np.zeros((1, 128, 224, 3), np.uint8)
    row = Tiled(network, tile_size=128).coarse_logits(images)[0, 0, 0]
    assert len(network.seen) == 2  # from 0 to 128 and from 96 to 224
    np.testing.assert_array_equal(row[: 96 // 4 + 2], 0)
    np.testing.assert_array_equal(row[26:30], [0.125, 0.375, 0.625, 0.875])
    np.testing.assert_array_equal(row[30:], 1)


def test_no_seam_is_a_step():
    """Tiles that disagree by 1 differ from one point to the next by the ramp's slope at most."""
    tiled = Tiled(Numbered(stride=4), tile_size=256)
    rows = tiled.coarse_logits(np.zeros((1, 2000, 64, 3), np.uint8))[0, 0, :, 0]
    assert len(tiled.network.seen) > 5
    assert 0 < np.diff(rows).max() <= 1 / (64 / 4 / 2) + 1e-6
    assert np.diff(rows).min() >= 0


def test_bands_ask_for_rows_from_top_to_bottom_and_hold_what_is_final(noise):
    image = noise(700, 300)
    tiled = Tiled(Cells(), tile_size=128)
    asked = []

    def window(rows, columns):
        asked.append(rows)
        return image[None, rows, columns]

    bands = list(tiled.bands(window, (700, 300)))
    np.testing.assert_array_equal(np.concatenate(bands, axis=2), tiled.coarse_logits(image[None]))
    assert len(bands) > 3
    assert all(before.start <= after.start for before, after in pairwise(asked))
    assert max(rows.stop for rows in asked) == 700
    assert max(rows.stop - rows.start for rows in asked) <= 128


def test_another_tile_size_is_another_network():
    first, same, other = (Tiled(Cells(), tile_size=size).fingerprint() for size in (64, 64, 96))
    assert first == same != other


def test_another_network_in_tiles_is_another_network():
    class Others(Cells):
        def fingerprint(self):
            return b"others"

    assert Tiled(Others(), tile_size=64).fingerprint() != Tiled(Cells(), tile_size=64).fingerprint()
