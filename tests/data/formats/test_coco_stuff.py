from __future__ import annotations

import pytest

from deeplab.data import open_dataset
from deeplab.errors import DataError


@pytest.mark.parametrize("place", ["stuffthingmaps_trainval2017", "annotations/stuffthingmaps_trainval2017"])
def test_the_maps_may_lie_as_they_were_unpacked(make, place):
    root = make("coco_stuff").root
    maps = (root / "annotations").rename(root / "maps")
    (root / place).parent.mkdir(exist_ok=True)
    maps.rename(root / place)
    for split in ("train2017", "val2017"):
        (root / "images" / split).rename(root / split)
    splits = open_dataset(root).splits
    assert {name: len(samples) for name, samples in splits.items()} == {"train": 2, "val": 1}


def test_labels_are_cocos_ids_minus_one(make):
    classes = open_dataset(make("coco_stuff").root).classes
    assert len(classes) == 182
    assert {name: classes.index(name) + 1 for name in ("person", "toothbrush", "banner", "wood")} == {
        "person": 1,
        "toothbrush": 90,
        "banner": 92,
        "wood": 182,
    }


def test_maps_without_a_folder_of_images_are_refused(make):
    root = make("coco_stuff").root
    (root / "images").rename(root / "pictures")
    with pytest.raises(DataError, match=r"no folder of its images; wanted .*train2017"):
        open_dataset(root)
