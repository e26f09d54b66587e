"""Read and write images and label maps: the one room that knows the imaging library (Pillow).

Everything else sees numpy arrays: an image is uint8 (height, width, 3) RGB, a label map uint8 or uint16
(height, width). Of a file with several frames or pages the first one counts; colour profiles are not applied.
"""

from __future__ import annotations

from deeplab.images.colors import IGNORE_COLOR, color_map, colorize, heat
from deeplab.images.labels import read_labels, write_labels
from deeplab.images.opening import IMAGE_SUFFIXES, OTHER_SUFFIXES, Header, number_of_pictures, read_header
from deeplab.images.reading import read_image, read_small
from deeplab.images.sizes import mirrored, resize_image, resize_labels, size_at, turn_upright
from deeplab.images.writing import as_pillow, data_uri, write_grey, write_image

__all__ = [
    "IGNORE_COLOR",
    "IMAGE_SUFFIXES",
    "OTHER_SUFFIXES",
    "Header",
    "as_pillow",
    "color_map",
    "colorize",
    "data_uri",
    "heat",
    "mirrored",
    "number_of_pictures",
    "read_header",
    "read_image",
    "read_labels",
    "read_small",
    "resize_image",
    "resize_labels",
    "size_at",
    "turn_upright",
    "write_grey",
    "write_image",
    "write_labels",
]
