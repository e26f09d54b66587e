import ast
import json
import re
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from deeplab.data import open_dataset, regroup
from deeplab.errors import DataError, ImageError
from deeplab.evaluation import evaluate

CLASSES = ("black", "grey", "white")


@pytest.fixture
def make_dataset(tmp_path):
    """`make_dataset(pairs, classes)`: a folder whose val split has these (image, mask) arrays."""

    def make(pairs, classes=CLASSES):
        for kind in ("images", "masks"):
            (tmp_path / "val" / kind).mkdir(parents=True)
        for index, (image, mask) in enumerate(pairs):
            Image.fromarray(image).save(tmp_path / "val" / "images" / f"{index}.png")
            Image.fromarray(mask).save(tmp_path / "val" / "masks" / f"{index}.png")
        (tmp_path / "classes.txt").write_text("\n".join(classes))
        return open_dataset(tmp_path)

    return make


@pytest.fixture
def segmenter():
    """Tells black, grey and white from the brightness, and is 0.8 sure of it."""

    def segment(image):
        labels = (image[..., 0] // 86).astype(np.uint8)
        probabilities = np.where(labels == np.arange(3)[:, None, None], 0.8, 0.1)
        return SimpleNamespace(labels=labels, probabilities=probabilities.astype(np.float32))

    segment.classes = CLASSES
    return segment


@pytest.fixture
def pairs():
    """Two images of different size; all is right but two pixels of the second, and one is ignored."""
    masks = [np.array([[0, 1, 2], [0, 1, 2]], np.uint8), np.array([[0, 0, 2, 2]], np.uint8)]
    images = [np.repeat((mask * 127)[..., None], 3, axis=2) for mask in masks]
    masks[0][0, 0] = 255
    masks[1][0, :] = [1, 0, 2, 1]
    return list(zip(images, masks, strict=True))


def test_pixels_of_all_images_are_counted_together(segmenter, make_dataset, pairs):
    report = evaluate(segmenter, make_dataset(pairs))
    assert report.confusion.tolist() == [[2, 0, 0], [1, 2, 1], [0, 0, 3]]
    assert report.images == 2
    assert report.classes == CLASSES
    assert report.pixel_accuracy == 7 / 9
    assert report.miou == pytest.approx((2 / 3 + 2 / 4 + 3 / 4) / 3)
    assert json.loads(report.to_json())["pixels"] == {"black": 2, "grey": 4, "white": 3}


def test_what_each_image_adds_is_kept(segmenter, make_dataset, pairs):
    report = evaluate(segmenter, make_dataset(pairs))
    assert report.names == ("0.png", "1.png")
    assert report.areas[1].tolist() == [[1, 0, 1], [1, 2, 1], [2, 0, 2]]  # right, true, predicted
    np.testing.assert_array_equal(report.areas.sum(axis=0)[0], report.confusion.diagonal())


def test_objects_are_counted_by_size_over_all_images(segmenter, make_dataset, pairs):
    objects = evaluate(segmenter, make_dataset(pairs)).objects
    assert objects.by_image[:, 0].tolist() == [[3, 5, 5], [4, 4, 2]]  # parts of a column, and single pixels
    assert objects.by_image[:, 1:].sum() == 0
    assert objects.by_class[:, 0].tolist() == [[2, 2, 2], [3, 4, 2], [2, 3, 3]]


def test_borders_and_calibration_are_measured_where_asked_for(segmenter, make_dataset, pairs):
    dataset = make_dataset(pairs)
    report = evaluate(segmenter, dataset, boundaries=True, calibration=True)
    assert report.calibration_error == pytest.approx(0.8 - 7 / 9, abs=1e-6)
    assert report.boundaries.f_score.shape == report.boundaries.iou.shape == (2, 3, 2)
    assert report.boundaries.trimap_miou[32] == pytest.approx(report.miou)  # wider than the images
    bare = evaluate(segmenter, dataset)
    assert bare.boundaries is bare.calibration is None


def test_of_300_classes_255_is_counted_and_65535_is_ignored(make_dataset):
    classes = tuple(f"class {number}" for number in range(300))
    image, mask = np.zeros((1, 3, 3), np.uint8), np.array([[255, 0, 65535]], np.uint16)
    labels = np.array([[255, 1, 0]], np.uint16)
    probabilities = (labels == np.arange(300)[:, None, None]).astype(np.float32)

    def segment(image):
        return SimpleNamespace(labels=labels, probabilities=probabilities)

    segment.classes = classes
    report = evaluate(segment, make_dataset([(image, mask)], classes=classes), calibration=True)
    assert report.confusion[255, 255] == report.confusion[0, 1] == 1
    assert report.confusion.sum() == 2
    assert report.calibration.sum(axis=0).tolist() == [2, 2, 1]  # pixels, probabilities, right ones


def test_each_image_is_handed_over_with_its_labels(segmenter, make_dataset, pairs):
    seen = []
    evaluate(
        segmenter,
        make_dataset(pairs),
        on_image=lambda sample, labels: seen.append((sample.image.name, labels)),
    )
    assert [name for name, _ in seen] == ["0.png", "1.png"]
    assert seen[1][1].tolist() == [[0, 0, 2, 2]]


def test_a_limit_takes_the_first_images(segmenter, make_dataset, pairs):
    report = evaluate(segmenter, make_dataset(pairs), limit=1)
    assert report.images == 1
    assert report.confusion.sum() == 5


def test_a_damaged_image_is_named(segmenter, make_dataset, pairs):
    dataset = make_dataset(pairs)
    dataset.splits["val"][1].image.write_bytes(b"no image")
    with pytest.raises(ImageError, match=r"1\.png"):
        evaluate(segmenter, dataset)


def test_a_label_out_of_range_is_named(segmenter, make_dataset, pairs):
    pairs[1][1][0, 2] = 7
    with pytest.raises(DataError, match=r"masks/1\.png: label 7 at \(row 0, column 2\)"):
        evaluate(segmenter, make_dataset(pairs))


def test_another_number_of_classes_is_refused(segmenter, make_dataset, pairs):
    with pytest.raises(DataError, match="has 4 classes and the model 3; take them as the model has them, without"):
        evaluate(segmenter, make_dataset(pairs, classes=(*CLASSES, "red")))


def test_other_names_are_refused(segmenter, make_dataset, pairs):
    with pytest.raises(DataError, match=r"label 2 is 'red' here and 'white' in the model; name"):
        evaluate(segmenter, make_dataset(pairs, classes=("black", "grey", "red")))


def test_the_same_names_in_another_order_are_refused(segmenter, make_dataset, pairs):
    with pytest.raises(
        DataError, match=r"label 0 is 'white' here and 'black' in the model; take .*: --classes \"black, grey, white\"$"
    ):
        evaluate(segmenter, make_dataset(pairs, classes=("white", "grey", "black")))


@pytest.mark.parametrize("given", [("white", "grey", "black"), ("red", *CLASSES)])
def test_the_line_that_is_named_makes_the_classes_those_of_the_model(segmenter, make_dataset, pairs, given):
    dataset = make_dataset(pairs, classes=given)
    with pytest.raises(DataError) as error:
        evaluate(segmenter, dataset)
    entries = str(error.value).split('--classes "')[1].rstrip('"').split(", ")
    assert evaluate(segmenter, regroup(dataset, entries)).classes == CLASSES


def test_names_that_have_commas_are_told_to_be_given_in_python(segmenter, make_dataset, pairs):
    segmenter.classes = ("black", "grey, dark", "white")
    dataset = make_dataset(pairs, classes=("white", "grey, dark", "black"))
    with pytest.raises(DataError, match=r"as names have commas, by classes=\[.*\] in Python$") as error:
        evaluate(segmenter, dataset)
    entries = ast.literal_eval(str(error.value).split("by classes=")[1].removesuffix(" in Python"))
    assert evaluate(segmenter, regroup(dataset, entries)).classes == segmenter.classes


@pytest.mark.parametrize("name", ["grey|dark", "grey=dark", "*"])
def test_names_that_no_entry_can_have_are_told(segmenter, make_dataset, pairs, name):
    segmenter.classes = ("black", name, "white")
    with pytest.raises(DataError, match=rf"; --classes cannot name '{re.escape(name)}', .*; take a model of other nam"):
        evaluate(segmenter, make_dataset(pairs, classes=("white", name, "black")))


def test_entries_that_rename_are_told_to_be_given_in_the_order_of_the_model(segmenter, make_dataset, pairs):
    dataset = regroup(make_dataset(pairs, classes=("pale", "grey", "black")), ["white=pale", "grey", "black"])
    with pytest.raises(DataError, match=r"the entries of --classes in the order black, grey, white$"):
        evaluate(segmenter, dataset)


def test_a_part_of_the_models_classes_is_refused_without_advice_that_does_not_help(segmenter, make_dataset, pairs):
    dataset = regroup(make_dataset(pairs), ["black", "white"])
    with pytest.raises(DataError, match=r"has 2 classes and the model 3; a model is measured on all of its classes"):
        evaluate(segmenter, dataset)


def test_a_split_without_masks_is_refused(segmenter, tmp_path, make_dataset, pairs):
    make_dataset(pairs)
    (tmp_path / "test" / "images").mkdir(parents=True)
    Image.fromarray(pairs[0][0]).save(tmp_path / "test" / "images" / "a.png")
    with pytest.raises(DataError, match=r"a\.png: no mask.* split 'test'"):
        evaluate(segmenter, open_dataset(tmp_path), split="test")


def test_a_split_that_is_not_there_is_refused(segmenter, make_dataset, pairs):
    with pytest.raises(DataError, match="tset"):
        evaluate(segmenter, make_dataset(pairs), split="tset")
