from __future__ import annotations

import pytest

from deeplab.weights._classes import NAMES, names_of, palette_of


@pytest.mark.parametrize("num_classes", NAMES)
def test_there_are_as_many_names_and_colours_as_classes_each_once(num_classes):
    names = names_of(num_classes)
    assert len(set(names)) == num_classes
    assert palette_of(num_classes).shape == (num_classes, 3)


def test_colours_are_where_cityscapes_has_them():
    colours = dict(zip(names_of(19), palette_of(19).tolist(), strict=True))
    assert (colours["road"], colours["person"], colours["bicycle"]) == ([128, 64, 128], [220, 20, 60], [119, 11, 32])


def test_other_numbers_are_counted():
    assert names_of(3) == ("class 0", "class 1", "class 2")


def test_names_are_where_the_data_sets_have_them():
    assert (
        names_of(21)[15] == names_of(19)[11] == names_of(150)[12] == names_of(151)[13] == names_of(182)[0] == "person"
    )
