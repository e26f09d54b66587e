import numpy as np
import pytest

from deeplab.inference.tiles import GRID, tile_spans, tiles

LENGTHS = [1, 2, 31, 32, 33, 127, 128, 129, 130, 223, 500, 1031]


@pytest.mark.parametrize("tile", [32, 33, 64, 97, 128, 512])
@pytest.mark.parametrize("length", LENGTHS)
def test_what_is_kept_covers_the_image_once(length, tile):
    kept = [index for span in tile_spans(length, tile=tile) for index in range(length)[span.kept]]
    assert kept == list(range(length))


@pytest.mark.parametrize("tile", [32, 33, 64, 97, 128, 512])
@pytest.mark.parametrize("length", LENGTHS)
def test_tiles_lie_in_the_image_on_the_grid_and_are_no_larger_than_asked(length, tile):
    for span in tile_spans(length, tile=tile):
        assert span.window.start % GRID == 0
        assert 0 <= span.window.start <= span.kept.start < span.kept.stop <= span.window.stop <= length
        assert span.window.stop - span.window.start <= tile


@pytest.mark.parametrize("tile", [64, 97, 128, 512])
def test_every_kept_pixel_has_an_eighth_of_a_tile_around_it_or_the_edge_of_the_image(tile):
    length = 4000
    for span in tile_spans(length, tile=tile):
        assert span.window.start == 0 or span.kept.start - span.window.start >= tile // 8
        assert span.window.stop == length or span.window.stop - span.kept.stop >= tile // 8


def test_without_a_tile_size_the_image_is_one_tile():
    assert len(tiles((3000, 4000), tile=None)) == 1
    assert len(tiles((100, 4000), tile=100)) > 1
    assert len(tiles((100, 99), tile=100)) == 1


@pytest.mark.parametrize("pixels", [1, 3, 100, 999, 1000, 2500])
def test_an_output_of_any_size_is_covered_once(pixels):
    spans = tile_spans(1000, tile=128)
    covered = [index for span in spans for index in range(pixels)[span.output(pixels)[0]]]
    assert covered == list(range(pixels))


def test_output_positions_are_pixel_centres_in_the_window():
    *_, before, last = tile_spans(100, tile=64)
    part, positions = last.output(200)
    assert last.window == slice(64, 100)
    assert part == slice(2 * last.kept.start, 200)
    assert before.output(200)[0].stop == part.start
    np.testing.assert_allclose(positions * 36 + 64, (np.arange(part.start, 200) + 0.5) / 2)
