import numpy as np
import pytest

from deeplab.kernels.pixel_tiles import SIDE, tiles_of


@pytest.mark.parametrize("size", [(1, 1), (SIDE, SIDE + 1), (3, 200), (5, 100, 7)])
def test_each_pixel_is_in_one_tile_and_has_one_row(size):
    seen = np.zeros((*size, 1), int)
    end = 0
    for tile in tiles_of(size):
        part = tile.of(seen)
        assert part.size == tile.rows.stop - tile.rows.start
        assert tile.rows.start == end
        end = tile.rows.stop
        part += 1
    assert end == seen.size
    assert (seen == 1).all()


def test_the_first_axis_goes_fastest():
    image = np.arange(12).reshape(3, 4, 1)
    [tile] = tiles_of((3, 4))
    assert tile.of(image).reshape(-1, 1)[:4, 0].tolist() == [0, 4, 8, 1]
