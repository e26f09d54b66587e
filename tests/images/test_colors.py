from __future__ import annotations

import numpy as np

from deeplab.images import IGNORE_COLOR, color_map, colorize

from ._pictures import PALETTE


def test_the_color_map_is_that_of_pascal_voc():
    # the devkit's VOClabelcolormap: background, aeroplane, bicycle, person, tv/monitor, void
    colors = color_map(256)
    assert colors[[0, 1, 2, 15, 20, 255]].tolist() == [
        [0, 0, 0],
        [128, 0, 0],
        [0, 128, 0],
        [192, 128, 128],
        [0, 64, 128],
        [224, 224, 192],
    ]
    assert len(np.unique(color_map(1000), axis=0)) == 1000


def test_labels_are_drawn_in_the_colours_of_their_classes():
    labels = np.array([[0, 1, 2, 3, 255]], dtype=np.uint8)
    assert colorize(labels, PALETTE)[0].tolist() == [*PALETTE.tolist(), [0, 0, 0], list(IGNORE_COLOR)]


def test_16_bit_labels_are_drawn_too():
    labels = np.array([[299, 255, 300, 65535]], dtype=np.uint16)
    palette = color_map(300)
    expected = [palette[299].tolist(), palette[255].tolist(), [0, 0, 0], list(IGNORE_COLOR)]
    assert colorize(labels, palette)[0].tolist() == expected
