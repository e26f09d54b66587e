from __future__ import annotations

import numpy as np
import pytest

from deeplab.data import load_sample, open_dataset
from deeplab.data.formats.cityscapes import IDS
from deeplab.data.label_sets import CITYSCAPES
from deeplab.errors import DataError


@pytest.fixture
def root(make):
    return make("cityscapes").root


def test_the_train_ids_are_the_evaluated_ids_in_order():
    # facts.md, section 6; `ignoreInEval` in the authors' labels.py
    ids = [7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33]
    assert [IDS.index(name) for name in CITYSCAPES] == ids


def test_every_other_id_is_ignored(root, write):
    dataset = open_dataset(root)
    sample = dataset.split("train")[0]
    write(sample.mask, np.append(np.arange(34), [255] * 14).reshape(6, 8).astype(np.uint8))
    labels = load_sample(sample, dataset)[1].ravel()
    assert labels[labels != 255].tolist() == list(range(19))


def test_an_id_beyond_the_last_is_refused(root, write):
    dataset = open_dataset(root)
    sample = dataset.split("train")[0]
    write(sample.mask, np.full((6, 8), 34, np.uint8))
    with pytest.raises(DataError, match=r"labelIds\.png: label 34 at \(row 0, column 0\) is outside 0\.\.33"):
        load_sample(sample, dataset)


def test_what_has_no_fine_labels_has_coarse_ones(root):
    extra = root / "leftImg8bit/train_extra"
    (root / "leftImg8bit/val").rename(extra)
    coarse = root / "gtCoarse/train_extra/aachen"
    coarse.mkdir(parents=True)
    name = "c_000000_000019_gt{}_labelIds.png"
    (root / "gtFine/val/aachen" / name.format("Fine")).rename(coarse / name.format("Coarse"))
    assert [sample.mask.parent for sample in open_dataset(root).split("train_extra")] == [coarse]
    assert [sample.mask.parent.parts[-3] for sample in open_dataset(root).split("train")] == ["gtFine", "gtFine"]


def test_coarse_labels_alone_are_enough(root):
    for file in list(root.glob("gtFine/*/*/*.png")):
        file.rename(file.with_name(file.name.replace("gtFine", "gtCoarse")))
    (root / "gtFine").rename(root / "gtCoarse")
    dataset = open_dataset(root)
    assert dataset.classes == CITYSCAPES
    assert [sample.mask.parent.parts[-3] for sample in dataset.split("train")] == ["gtCoarse", "gtCoarse"]


def test_a_split_without_labels_is_unlabelled(root):
    (root / "leftImg8bit/val").rename(root / "leftImg8bit/test")
    assert [sample.mask for sample in open_dataset(root).split("test")] == [None]


def test_the_pictures_beside_the_labels_are_no_masks(root):
    for kind in ("color", "instanceIds"):
        (root / f"gtFine/train/aachen/a_000000_000019_gtFine_{kind}.png").write_bytes(b"")
    assert len(open_dataset(root).split("train")) == 2
