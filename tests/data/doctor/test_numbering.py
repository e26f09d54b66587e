from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from deeplab.data import load_sample, open_dataset
from deeplab.data.doctor import repair

from ._sabotage import HEIGHT, WIDTH, diagnose, map_labels, save


@pytest.mark.parametrize(
    ("labels", "num_classes", "guess"),
    [
        ([0, 1, 2, 3], 3, "or, if 0 means unlabelled and the classes are counted from 1, as in ADE20K"),
        ([7, 8, 11, 26, 33], 19, "These look like the labelIds of Cityscapes: take the files labelTrainIds."),
        ([7, 33, 65535], 19, "These look like the labelIds of Cityscapes: take the files labelTrainIds."),
        ([0, 1000, 1001, 2000], 3, "These look like objects, class * 1000 + number: divide by 1000."),
    ],
)
def test_known_numberings_are_recognised(root: Path, labels: list[int], num_classes: int, guess: str) -> None:
    (root / "classes.txt").write_text("".join(f"class {chr(97 + index)}\n" for index in range(num_classes)))
    values = np.array(labels, np.uint16 if max(labels) > 255 else np.uint8)
    map_labels(root, lambda old: values[np.arange(WIDTH) * len(values) // WIDTH + np.zeros_like(old)])
    (finding,) = [each for each in diagnose(root).findings if each.kind == "label-range"]
    assert guess in finding.fix


def repeated(*labels: int, dtype: type = np.uint8) -> np.ndarray:
    """These labels pixel by pixel, again and again, (HEIGHT, WIDTH)."""
    return np.resize(np.array(labels, dtype), (HEIGHT, WIDTH))


def fill(root: Path, num_classes: int, labels: np.ndarray) -> None:
    """So many classes, and the same labels in every mask."""
    names = "".join(f"class {chr(0x4E00 + index)}\n" for index in range(num_classes))
    (root / "classes.txt").write_text(names, encoding="utf-8")
    map_labels(root, lambda _: labels)


@pytest.mark.parametrize(
    ("num_classes", "labels", "stray"),
    [
        (300, repeated(*range(300), 65535, dtype=np.uint16), None),
        (300, repeated(0, 255, dtype=np.uint16), None),
        (150, repeated(*range(150), 255), 200),
        (19, repeated(*range(19), 255), 200),
        (52, repeated(0, 5, 255), 60),
        (3, repeated(0, 1, 65535, dtype=np.uint16), None),
        (3, repeated(0, 1, 65535, dtype=np.uint16), 4),
        (2, repeated(*[0] * 9, 1, *[255] * 10), 7),
    ],
    ids=lambda value: None if isinstance(value, np.ndarray) else str(value),
)
def test_labels_that_are_right_are_never_renumbered(
    root: Path, tmp_path: Path, num_classes: int, labels: np.ndarray, stray: int | None
) -> None:
    fill(root, num_classes, labels)
    dropped = labels == np.iinfo(labels.dtype).max
    if stray is not None:
        labels[5, 7], dropped[5, 7] = stray, True
        save(root / "train/masks/0.png", labels)
    diagnosis = repair(diagnose(root), tmp_path / "repaired")
    assert diagnosis.repair is not None
    assert [each.file for each in diagnosis.repair.done] == ["train/masks/0.png"] * (stray is not None)
    dataset = open_dataset(tmp_path / "repaired")
    repaired = load_sample(dataset.split("train")[0], dataset)[1]
    np.testing.assert_array_equal(repaired, np.where(dropped, dataset.ignore_index, labels))


@pytest.mark.parametrize(
    ("labels", "wanted"),
    [
        (repeated(1, 2, 3, 65535, dtype=np.uint16), (0, 1, 2, 255)),
        (repeated(1, 2, 3, 255), (0, 1, 2, 255)),
        (repeated(0, 127, 255), (0, 1, 2)),
        (repeated(0, 128, 255), (0, 1, 2)),
    ],
    ids=["from one in 16 bits", "from one", "spread, rounded down", "spread, rounded up"],
)
def test_labels_in_another_clear_numbering_become_class_numbers(
    root: Path, tmp_path: Path, labels: np.ndarray, wanted: tuple[int, ...]
) -> None:
    fill(root, 3, labels)
    repair(diagnose(root), tmp_path / "repaired")
    dataset = open_dataset(tmp_path / "repaired")
    np.testing.assert_array_equal(load_sample(dataset.split("val")[0], dataset)[1], repeated(*wanted))
