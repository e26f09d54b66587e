from __future__ import annotations

import numpy as np

from deeplab.data import load_sample, open_dataset
from deeplab.data.formats.camvid import CLASSES, COLORS, GROUPS


def test_all_32_colours_but_void_have_one_of_the_11_classes():
    grouped = [old for olds in GROUPS.values() for old in ((olds,) if isinstance(olds, str) else olds)]
    assert (len(COLORS), len(set(COLORS.values())), len(CLASSES)) == (32, 32, 11)
    assert sorted([*grouped, "Void"]) == sorted(COLORS)
    assert tuple(GROUPS) == tuple(CLASSES)


def test_every_colour_is_read_as_its_class(make, write):
    dataset = open_dataset(make("camvid in colours").root)
    sample = dataset.split("train")[0]
    write(sample.mask, np.array([*COLORS.values(), *[(0, 0, 0)] * 16], np.uint8).reshape(6, 8, 3))
    names = dict(zip(COLORS, load_sample(sample, dataset)[1].ravel().tolist(), strict=False))
    assert names.pop("Void") == 255
    assert all(names[old] == list(GROUPS).index(new) for new, olds in GROUPS.items() for old in np.atleast_1d(olds))


def test_the_original_without_splits_is_all_for_training(make):
    root = make("camvid in colours").root
    for ours, theirs in (("train", "701_StillsRaw_full"), ("train_labels", "LabeledApproved_full")):
        (root / ours).rename(root / theirs)
    for folder in ("val", "val_labels"):
        for file in (root / folder).iterdir():
            file.unlink()
        (root / folder).rmdir()
    splits = open_dataset(root).splits
    assert {name: [sample.mask.name for sample in samples] for name, samples in splits.items()} == {
        "train": ["a_L.png", "b_L.png"]
    }


def test_the_colours_are_segnets(make):
    for name in ("camvid", "camvid in colours"):
        dataset = open_dataset(make(name).root)
        assert dataset.classes == tuple(CLASSES)
    assert dataset.palette[0].tolist() == [128, 128, 128]


def test_the_copy_in_the_plain_layout_has_the_same_classes(shared):
    dataset = open_dataset(shared / "data/camvid")
    assert dataset.classes == tuple(CLASSES)
    assert dataset.palette.tolist() == [list(color) for color in CLASSES.values()]
