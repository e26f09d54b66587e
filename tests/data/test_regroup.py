from __future__ import annotations

import numpy as np
import pytest

from deeplab.data import group_classes, in_words, load_sample, open_dataset, regroup
from deeplab.errors import DataError, SettingsError

CLASSES = ("road", "sidewalk", "car", "bus", "void")


@pytest.mark.parametrize(
    ("wanted", "groups"),
    [
        (["road", "car"], {"road": ("road",), "car": ("car",)}),
        (["car", "road"], {"car": ("car",), "road": ("road",)}),
        (["street = road"], {"street": ("road",)}),
        (["way=road | sidewalk", "vehicle=car|bus"], {"way": ("road", "sidewalk"), "vehicle": ("car", "bus")}),
        (["car", "background=*"], {"car": ("car",), "background": ("road", "sidewalk", "bus", "void")}),
        (["*", "way=sidewalk|road"], {"car": ("car",), "bus": ("bus",), "void": ("void",), "way": CLASSES[1::-1]}),
        (["=void|bus", "*"], {"road": ("road",), "sidewalk": ("sidewalk",), "car": ("car",)}),
        (["other=void|*", "car"], {"other": ("void", "road", "sidewalk", "bus"), "car": ("car",)}),
        (["car=bus", "bus=car"], {"car": ("bus",), "bus": ("car",)}),
        ({"way": ["road", "sidewalk"], "car": "car"}, {"way": ("road", "sidewalk"), "car": ("car",)}),
    ],
    ids=[
        "keep",
        "reorder",
        "rename",
        "merge",
        "the rest as one",
        "each of the rest",
        "drop",
        "both",
        "swap",
        "mapping",
    ],
)
def test_entries_make_new_classes_of_the_old(wanted, groups):
    assert list(group_classes(wanted, CLASSES).items()) == list(groups.items())


@pytest.mark.parametrize(
    ("wanted", "problem"),
    [
        (["rode"], r"no class 'rode'; did you mean road\?"),
        (["way=road", "road"], "takes 'road' 2 times; each class can go to one place only"),
        (["background=*", "*"], r"takes '\*' 2 times"),
        (["way=road", "way=sidewalk"], r"has two named 'way'; give each another name, or join them as way=A\|B"),
        (["car=bus", "*"], "has two named 'car'"),
        ([*CLASSES, "background=*"], "'background' made of all the rest, but nothing is left"),
        (["=road"], "drops every class"),
        (["way="], r"wants entries such as person, vehicle=car\|bus or background=\*, got 'way='"),
        (["way=road||car"], "wants entries such as person"),
    ],
)
def test_entries_that_cannot_work_are_refused(wanted, problem):
    with pytest.raises(SettingsError, match=f"^classes.*{problem}"):
        group_classes(wanted, CLASSES)


def test_masks_are_mapped_and_dropped_classes_ignored(root, write):
    write(root / "train/masks/a.png", np.tile(np.array([0, 1, 2, 255], np.uint8), (6, 2)))
    dataset = regroup(open_dataset(root), ["traffic light", "ground=road"])
    _, labels = load_sample(dataset.split("train")[0], dataset)
    assert labels.dtype == np.uint8
    assert labels[0].tolist() == [255, 1, 0, 255] * 2


def test_a_merged_class_has_the_colour_of_its_name_or_of_its_first_part(root):
    dataset = open_dataset(root)
    assert regroup(dataset, ["a=traffic light|road"]).palette.tolist() == [dataset.palette[2].tolist()]
    assert regroup(dataset, ["road=sky|road"]).palette.tolist() == [[1, 2, 3]]


def test_a_label_out_of_range_is_still_named(root, write):
    write(root / "train/masks/a.png", np.full((6, 8), 3, np.uint8))
    dataset = regroup(open_dataset(root), ["sky"])
    with pytest.raises(DataError, match=r"masks/a\.png: label 3 at \(row 0, column 0\) is outside 0\.\.2"):
        load_sample(dataset.split("train")[0], dataset)


def test_few_classes_of_more_than_255_have_8_bit_labels(root, write):
    (root / "classes.txt").write_text("\n".join(f"class {index}" for index in range(300)))
    write(root / "train/masks/a.png", np.tile(np.array([0, 299, 7, 65535], np.uint16), (6, 2)))
    dataset = regroup(open_dataset(root), ["last=class 299", "first=class 0"])
    _, labels = load_sample(dataset.split("train")[0], dataset)
    assert (dataset.ignore_index, labels.dtype) == (255, np.uint8)
    assert labels[0].tolist() == [1, 0, 255, 255] * 2


def test_classes_regrouped_again_are_mapped_from_the_files_at_once(root, write):
    (root / "classes.txt").write_text("\n".join(f"class {index}" for index in range(300)))
    write(root / "train/masks/a.png", np.tile(np.array([0, 299, 7, 255, 256, 65535], np.uint16), (6, 2))[:, :8])
    dataset = open_dataset(root)
    many = regroup(dataset, ["=class 0", "*"])
    few = regroup(many, ["end=class 299|class 256", "class 255"])
    assert few.regrouped.origin is dataset
    assert few.groups == {"end": ("class 299", "class 256"), "class 255": ("class 255",)}
    assert few.regrouped.lookup.shape == (65536,)
    _, labels = load_sample(few.split("train")[0], few)
    assert labels[0].tolist() == [255, 0, 255, 1, 0, 255, 255, 0]


def test_a_data_set_knows_what_its_classes_are_made_of(root):
    dataset = open_dataset(root)
    assert dataset.groups == {"sky": ("sky",), "road": ("road",), "traffic light": ("traffic light",)}
    assert regroup(dataset, ["a=sky|road"]).groups == {"a": ("sky", "road")}


def test_groups_in_words_say_what_is_made_of_something_else():
    assert in_words({"road": ("road",), "vehicle": ("car", "bus")}) == "road, vehicle from car + bus"
