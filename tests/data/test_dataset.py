import numpy as np
import pytest

from deeplab.data import Sample, load_sample, open_dataset
from deeplab.data.drawing import Drawing, Polygon
from deeplab.errors import DataError


def load_first(root):
    dataset = open_dataset(root)
    return load_sample(dataset.split("train")[0], dataset)


def test_a_sample_is_an_rgb_image_and_its_labels(root):
    image, labels = load_first(root)
    assert (image.shape, image.dtype) == ((6, 8, 3), np.uint8)
    assert (labels.shape, labels.dtype) == ((6, 8), np.uint8)


@pytest.mark.parametrize(("dtype", "ignored"), [(np.uint8, [255]), (np.uint16, [255, 65535])])
def test_ignored_labels_become_255(root, write, dtype, ignored):
    mask = np.zeros((6, 8), dtype)
    mask[0, : len(ignored)] = ignored
    write(root / "train/masks/a.png", mask)
    labels = load_first(root)[1]
    assert labels.dtype == np.uint8
    assert labels[0, : len(ignored)].tolist() == [255] * len(ignored)
    assert (labels == 255).sum() == len(ignored)


def test_with_many_classes_255_is_a_class_and_65535_is_ignored(root, write):
    (root / "classes.txt").write_text("\n".join(f"class {letter}" for letter in map(chr, range(0x4E00, 0x4F2C))))
    mask = np.zeros((6, 8), np.uint16)
    mask[0, :3] = 255, 299, 65535
    write(root / "train/masks/a.png", mask)
    labels = load_first(root)[1]
    assert labels.dtype == np.uint16
    assert labels[0, :4].tolist() == [255, 299, 65535, 0]


@pytest.mark.parametrize(("num_classes", "ignored"), [(255, 255), (256, 65535)])
def test_255_is_a_class_from_256_classes_on(root, write, num_classes, ignored):
    (root / "classes.txt").write_text("\n".join(f"class {number}" for number in range(num_classes)))
    mask = np.zeros((6, 8), np.uint16)
    mask[0, :2] = 255, 65535
    write(root / "train/masks/a.png", mask)
    assert open_dataset(root).ignore_index == ignored
    assert load_first(root)[1][0, :2].tolist() == [255, ignored]


def test_a_label_out_of_range_is_named_with_file_pixel_and_value(root, write):
    mask = np.zeros((6, 8), np.uint8)
    mask[2, 5], mask[4, 1] = 37, 200
    write(root / "train/masks/a.png", mask)
    with pytest.raises(
        DataError,
        match=r"masks/a\.png: label 37 at \(row 2, column 5\) is outside 0\.\.2 "
        r"and is not the ignore value 255 \(2 such values: 37, 200\); "
        r"add the class to .*classes\.txt or correct the mask",
    ):
        load_first(root)


def test_a_transposed_mask_is_said_to_look_transposed(root, write):
    write(root / "train/masks/a.png", np.zeros((8, 6), np.uint8))
    with pytest.raises(DataError, match=r"a\.png: mask is 8 x 6 .* image is 6 x 8; it looks transposed"):
        load_first(root)


def test_a_mask_of_another_size_is_refused(root, write):
    write(root / "train/masks/a.png", np.zeros((6, 9), np.uint8))
    with pytest.raises(DataError, match=r"mask is 6 x 9 .* image is 6 x 8; export the mask at the size"):
        load_first(root)


def test_a_colour_mask_is_read_by_the_palette(root, write):
    mask = np.zeros((6, 8, 3), np.uint8)
    mask[1, 2] = 1, 2, 3  # the colour of class 1 in classes.txt; class 0 is black in VOC's colours
    write(root / "train/masks/a.png", mask)
    labels = load_first(root)[1]
    assert labels[1, 2] == 1
    assert labels.sum() == 1


def test_a_drawn_mask_is_checked_as_a_file_is(root):
    dataset = open_dataset(root)
    image = dataset.split("train")[0].image
    region = Polygon.of([1, 0, 3, 0, 3, 2, 1, 2])
    labels = load_sample(Sample(image, Drawing("notes.json: a.png", [(2, region)])), dataset)[1]
    assert (labels.shape, labels.dtype, labels.sum()) == ((6, 8), np.uint8, 8)
    with pytest.raises(DataError, match=r"^notes\.json: a\.png: label 3 at \(row 0, column 1\) is outside 0\.\.2"):
        load_sample(Sample(image, Drawing("notes.json: a.png", [(3, region)])), dataset)
    with pytest.raises(DataError, match=r"^notes\.json: a\.png: mask is 8 x 6 .* it looks transposed"):
        load_sample(Sample(image, Drawing("notes.json: a.png", [], (8, 6))), dataset)


def test_without_a_mask_everything_is_ignored(root):
    dataset = open_dataset(root)
    sample = Sample(dataset.split("train")[0].image)
    assert (load_sample(sample, dataset)[1] == 255).all()
