from __future__ import annotations

import shutil

import numpy as np
import pytest

from deeplab.data import load_sample, open_dataset
from deeplab.errors import DataError, ImageError

LISTS = "ImageSets/Segmentation"


@pytest.fixture
def root(make):
    return make("voc").root


def test_the_augmented_list_takes_the_augmented_masks_and_the_others_do_not(root):
    shutil.copytree(root / "SegmentationClass", root / "SegmentationClassAug")
    (root / LISTS / "train_aug.txt").write_text("a\nc\n")
    (root / LISTS / "trainval.txt").write_text("a\nb\nc\n")
    splits = open_dataset(root).splits
    assert {name: sample.mask.parent.name for name, (sample, *_) in splits.items()} == {
        "train": "SegmentationClass",
        "trainaug": "SegmentationClassAug",
        "trainval": "SegmentationClass",
        "val": "SegmentationClass",
    }


def test_lists_may_hold_the_paths_of_images_and_masks(root):
    (root / LISTS / "train.txt").write_text("/JPEGImages/b.jpg /SegmentationClass/a.png\n")
    (root / LISTS / "test.txt").write_text("/JPEGImages/c.jpg\n")
    splits = open_dataset(root).splits
    assert [(sample.image.name, sample.mask.name) for sample in splits["train"]] == [("b.jpg", "a.png")]
    assert [(sample.image.name, sample.mask) for sample in splits["test"]] == [("c.jpg", None)]


def test_images_and_masks_may_lie_in_folders_below(root):
    for folder, ending in (("JPEGImages", "jpg"), ("SegmentationClass", "png")):
        (root / folder / "sub/v1.0").mkdir(parents=True)
        (root / folder / f"a.{ending}").rename(root / folder / f"sub/v1.0/a.{ending}")
    for line in ("sub/v1.0/a", "sub/v1.0/a.jpg", "/JPEGImages/sub/v1.0/a.jpg /SegmentationClass/sub/v1.0/a.png"):
        (root / LISTS / "train.txt").write_text(f"{line}\n")
        (sample,) = open_dataset(root).split("train")
        assert (sample.image, sample.mask) == (
            root / "JPEGImages/sub/v1.0/a.jpg",
            root / "SegmentationClass/sub/v1.0/a.png",
        )


def test_lists_may_have_windows_line_ends_suffixes_and_blank_lines(root):
    (root / LISTS / "train.txt").write_bytes(b"\xef\xbb\xbfa.jpg\r\n\r\nb\r\n")
    assert [sample.image.stem for sample in open_dataset(root).split("train")] == ["a", "b"]


def test_images_may_lie_in_sub_folders_and_have_spaces_in_their_names(root):
    for folder, suffix in (("JPEGImages", "jpg"), ("SegmentationClass", "png")):
        for name in ("left", "right"):
            (root / folder / name).mkdir()
        (root / folder / f"a.{suffix}").rename(root / folder / f"left/a b.{suffix}")
        (root / folder / f"b.{suffix}").rename(root / folder / f"right/a b.{suffix}")
    (root / LISTS / "train.txt").write_text('"left/a b"\n"right/a b.jpg"\n')
    samples = open_dataset(root).split("train")
    assert [sample.image.relative_to(root).as_posix() for sample in samples] == [
        "JPEGImages/left/a b.jpg",
        "JPEGImages/right/a b.jpg",
    ]
    assert [sample.mask.parent.name for sample in samples] == ["left", "right"]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (b"a\nd\n", r"train\.txt: line 2: no image 'd'; put it into .*JPEGImages or take it off the list"),
        (b"left/d\n", r"train\.txt: line 1: no image 'left/d'; put it into .*JPEGImages or take it off the list"),
        (b"/JPEGImages/d.jpg\n", r"train\.txt: line 1: no image 'JPEGImages/d\.jpg'"),
        ("ä\n".encode("latin-1"), r"train\.txt: byte 0 is not UTF-8; save it as UTF-8"),
        (b"\n \r\n", r"train\.txt: empty; write one entry a line"),
    ],
    ids=["missing image", "missing in a sub-folder", "missing path", "latin-1", "empty"],
)
def test_a_list_that_is_not_in_order_is_refused(root, text, problem):
    (root / LISTS / "train.txt").write_bytes(text)
    with pytest.raises(DataError, match=problem):
        open_dataset(root)


def test_a_list_without_any_mask_is_unlabelled(root):
    (root / "SegmentationClass/c.png").unlink()
    assert [sample.mask for sample in open_dataset(root).split("val")] == [None]


def test_upper_case_suffixes_count(root):
    (root / "JPEGImages/a.jpg").rename(root / "JPEGImages/a.JPG")
    assert open_dataset(root).split("train")[0].image.name == "a.JPG"


def test_a_mask_in_colours_is_read_by_vocs_with_its_border(root, write):
    dataset = open_dataset(root)
    colors = np.zeros((6, 8, 3), np.uint8)
    colors[1, 2], colors[3, 4] = (192, 128, 128), (224, 224, 192)
    write(root / "SegmentationClass/a.png", colors)
    labels = load_sample(dataset.split("train")[0], dataset)[1]
    assert (labels[1, 2], labels[3, 4], np.count_nonzero(labels)) == (15, 255, 2)


def test_classes_may_be_listed(root):
    (root / "classes.txt").write_text("nothing\n" + "".join(f"kind {index}\n" for index in range(15)))
    dataset = open_dataset(root)
    assert (len(dataset.classes), dataset.classes[15]) == (16, "kind 14")


def test_a_colour_that_the_list_lacks_is_named(make):
    root = make("voc in colours").root
    (root / "labelmap.txt").write_text("background:0,0,0::\ntree:7,8,9::\n")
    dataset = open_dataset(root)
    with pytest.raises(ImageError, match=r"a\.png: colour \(50, 0, 200\) at \(row 1, column 1\)"):
        load_sample(dataset.split("train")[0], dataset)


@pytest.mark.parametrize("line", ["tree", "tree:7,8::", "tree:7,8,300::", "tree:7,x,9::"])
def test_a_line_of_the_label_map_that_cannot_be_read_is_refused(make, line):
    root = make("voc in colours").root
    (root / "labelmap.txt").write_text(f"background:0,0,0::\n{line}\n")
    with pytest.raises(DataError, match=rf"labelmap\.txt: line 2: wanted name:R,G,B:: .*came '{line}'"):
        open_dataset(root)


def test_two_lists_of_one_split_are_refused(root):
    (root / LISTS / "Validation.txt").write_text("a\n")
    with pytest.raises(DataError, match="Validation and val would both be the split val; rename or remove one"):
        open_dataset(root)
