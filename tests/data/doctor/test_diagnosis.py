from __future__ import annotations

from pathlib import Path

from deeplab.data import open_dataset, regroup
from deeplab.data.doctor import examine

from ._sabotage import diagnose, label_map, said


def test_joined_classes_are_counted_as_one(root: Path) -> None:
    dataset = regroup(open_dataset(root), ["sky", "ground=road|car"])
    diagnosis = examine(dataset)
    assert said(diagnosis) == []
    pixels = diagnosis.evidence.counts["val"].pixels
    assert pixels.tolist() == [sum(int((label_map(seed) == 0).sum()) for seed in (5, 6)), 2 * 48 * 64 - pixels[0]]


def test_counts_are_those_of_the_masks(root: Path) -> None:
    count = diagnose(root).evidence.counts["train"]
    maps = [label_map(seed) for seed in range(5)]
    assert count.pixels.tolist() == [sum(int((each == label).sum()) for each in maps) for label in range(3)]
    assert count.images.tolist() == [5, 5, 5]
    assert count.objects.sum(axis=1).tolist() == [5, 5, 5]
