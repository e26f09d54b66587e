from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from PIL import Image

from deeplab.errors import OutputError
from deeplab.images import data_uri, read_image, write_image, write_labels

from ._pictures import PALETTE, refused


def test_an_output_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").touch()
    path = tmp_path / "file" / "mask.png"
    labels = np.zeros((3, 4), np.uint8)
    refused(lambda: write_labels(path, labels, palette=PALETTE), path, "choose another", error=OutputError)
    refused(lambda: write_image(path, np.stack([labels] * 3, axis=-1)), path, "choose another", error=OutputError)


@pytest.mark.parametrize("name", ["picture.png", "picture.PNG", "Bild ü.bmp", "picture.tiff"])
def test_a_written_image_is_read_back(tmp_path, make_image, name):
    image = make_image(9, 7)
    write_image(tmp_path / name, image)
    np.testing.assert_array_equal(read_image(tmp_path / name), image)


def test_a_written_jpeg_is_close_to_the_image(tmp_path, make_image):
    image = make_image(64, 48)
    write_image(tmp_path / "picture.jpg", Image.fromarray(image))
    assert np.abs(read_image(tmp_path / "picture.jpg").astype(int) - image).mean() < 5  # chroma has half the size


def test_an_image_of_an_unknown_suffix_is_not_written(tmp_path, make_image):
    refused(
        lambda: write_image(tmp_path / "picture.xyz", make_image(3, 4)),
        "picture.xyz",
        ".png",
        error=OutputError,
    )


def test_a_data_uri_is_the_picture(make_image):
    uri = data_uri(make_image(8, 9))
    assert uri.startswith("data:image/png;base64,")
    image = Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))).convert("RGB")
    assert np.abs(np.asarray(image).astype(int) - make_image(8, 9)).max() <= 8
