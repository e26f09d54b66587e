import numpy as np
import pytest

from deeplab.kernels import _numba
from deeplab.kernels._workers import Workers
from deeplab.kernels.lattice_building import build_lattice
from deeplab.kernels.pixel_lattice import build_pixel_lattice
from deeplab.kernels.pixel_tiles import tiles_of


@pytest.fixture(params=["numba", "numpy"])
def version(request, monkeypatch):
    if request.param == "numba" and not _numba.COMPILES:
        pytest.skip("numba is not installed")
    monkeypatch.setattr(_numba, "COMPILES", request.param == "numba")


def pixels(size, sigmas):
    """The tiles of an image, and x and y of its pixels over their standard deviations."""
    tiles = tiles_of(size)
    y, x = np.mgrid[: size[0], : size[1]].astype(np.float32)
    places = np.stack([x / np.float32(sigmas[1]), y / np.float32(sigmas[0])], axis=-1)
    return tiles, np.concatenate([tile.of(places).reshape(-1, 2) for tile in tiles])


def values_of(size, channels=8):
    return np.random.default_rng(0).random((size[0] * size[1], channels), np.float32)


@pytest.mark.parametrize(
    "size, sigmas",
    [
        ((1, 1), (1, 1)),
        ((1, 130), (1, 1)),
        ((130, 1), (2, 2)),
        ((100, 97), (1, 1)),
        ((195, 120), (3, 3)),
        ((98, 110), (0.75, 1.5)),
        ((110, 98), (2.5, 0.8)),
    ],
)
def test_it_is_the_lattice_around_the_same_points(size, sigmas, version):
    tiles, features = pixels(size, sigmas)
    values = values_of(size)
    lattice, expected = build_pixel_lattice(features, tiles, sigmas), build_lattice(features)
    assert lattice.touched.sum() == expected.num_corners
    np.testing.assert_allclose(lattice.filter(values, tiles), expected.filter(values), rtol=1e-5, atol=1e-5)


def test_any_number_of_channels_and_threads(version):
    tiles, features = pixels((100, 101), (1, 1))
    values = values_of((100, 101), channels=40)
    lattice = build_pixel_lattice(features, tiles, (1, 1))
    with Workers(3) as workers:
        found = lattice.filter(values, tiles, workers=workers)
    np.testing.assert_array_equal(found[:, 32:], lattice.filter(np.ascontiguousarray(values[:, 32:]), tiles))


def test_a_tile_takes_no_more_than_its_surroundings(version):
    """What lies beyond the reach of a tile does not change it; what lies just within does."""
    tiles, features = pixels((96, 250), (1, 1))
    lattice = build_pixel_lattice(features, tiles, (1, 1))
    values = values_of((96, 250))
    before = lattice.filter(values, tiles)[tiles[0].rows]
    changed = values.copy()
    changed[lattice.places[:, 96 + lattice.reach[1] :]] += 1
    np.testing.assert_array_equal(lattice.filter(changed, tiles)[tiles[0].rows], before)
    changed[lattice.places[:, 97]] += 1
    assert np.abs(lattice.filter(changed, tiles)[tiles[0].rows] - before).max() > 1e-3


def test_values_below_the_precision_of_the_others_stay(version):
    """A corner that no pixel touches takes nothing, as in the lattice around any points."""
    tiles, features = pixels((3, 3), (0.75, 0.75))
    values = np.zeros((9, 8), np.float32)
    values[4] = 1e-6
    expected = build_lattice(features).filter(values)
    found = build_pixel_lattice(features, tiles, (0.75, 0.75)).filter(values, tiles)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-14)
