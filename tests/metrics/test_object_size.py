from collections import deque

import numpy as np
import pytest

from deeplab.errors import DataError
from deeplab.metrics import OBJECT_SIZES, object_counts, object_recall


def flood_filled(labels, target, *, num_classes, ignore_index):
    """The counts as one thinks of them: object by object, each filled from one of its pixels."""
    counts = np.zeros((num_classes, len(OBJECT_SIZES), 3), int)
    seen = target == ignore_index
    for start in np.ndindex(target.shape):
        if seen[start]:
            continue
        seen[start] = True
        found, waiting = [], deque([start])
        while waiting:
            row, column = waiting.popleft()
            found.append((row, column))
            for near in ((row + down, column + right) for down in (-1, 0, 1) for right in (-1, 0, 1)):
                inside = 0 <= near[0] < target.shape[0] and 0 <= near[1] < target.shape[1]
                if inside and not seen[near] and target[near] == target[start]:
                    seen[near] = True
                    waiting.append(near)
        side = len(found) ** 0.5
        size = next(index for index, (least, below) in enumerate(OBJECT_SIZES) if least <= side < below)
        right = sum(labels[pixel] == target[pixel] for pixel in found)
        counts[target[start], size] += 1, len(found), right
    return counts


@pytest.mark.parametrize("kind", ["large parts", "noise", "one row", "one pixel"])
@pytest.mark.parametrize("ignore_index", [255, 1])
def test_counts_are_those_of_flood_filling(make_labels, kind, ignore_index):
    generator = np.random.default_rng(0)
    target = {
        "large parts": make_labels(60, 80),
        "noise": generator.integers(0, 4, (40, 50)).astype(np.uint8),
        "one row": generator.integers(0, 4, (1, 90)).astype(np.int64),
        "one pixel": np.array([[2]], np.uint16),
    }[kind]
    labels = generator.permuted(target, axis=1)
    target[generator.random(target.shape) < 0.02] = ignore_index
    found = object_counts(labels, target, num_classes=4, ignore_index=ignore_index)
    np.testing.assert_array_equal(
        found, flood_filled(labels, target, num_classes=4, ignore_index=ignore_index), strict=True
    )


def test_an_object_counts_at_the_side_of_a_square_of_its_area():
    target = np.zeros((20, 40), np.uint8)
    target[0, :3] = 1  # 3 pixels: a side of 1.7
    target[10:12, 10:12] = 1  # a side of 2
    target[5, 20:35] = 1  # 15 pixels: 3.9
    target[15:19, 20:24] = 1  # 4
    assert object_counts(target, target, num_classes=2)[1, :3].tolist() == [[1, 3, 3], [2, 19, 19], [1, 16, 16]]


def test_recall_is_of_all_pixels_of_a_size():
    target = np.array([[1, 1, 0, 1, 1, 1]], np.uint8)
    labels = np.array([[1, 0, 0, 1, 1, 0]], np.uint8)
    recall = object_recall(object_counts(labels, target, num_classes=2))
    assert recall[1, 0] == 3 / 5
    assert recall[0, 0] == 1
    assert np.isnan(recall[:, 1:]).all()


def test_what_is_predicted_on_ignored_pixels_is_neither_right_nor_wrong():
    target = np.array([[1, 255, 1]], np.uint8)  # which also parts two objects
    for labels in ([[1, 255, 1]], [[1, 0, 1]]):
        counts = object_counts(np.array(labels, np.uint8), target, num_classes=2)
        assert counts.sum(axis=(0, 1)).tolist() == [2, 2, 2]


def test_nothing_labelled_is_no_object():
    target = np.full((3, 4), 255, np.uint8)
    assert not object_counts(np.zeros_like(target), target, num_classes=2).any()


def test_a_label_that_is_no_class_is_refused():
    with pytest.raises(DataError, match=r"label 1 in the truth is outside 0\.\.0"):
        object_counts(np.zeros((4, 4), int), np.ones((4, 4), int), num_classes=1)
