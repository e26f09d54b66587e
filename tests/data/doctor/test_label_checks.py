from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ._sabotage import HEIGHT, WIDTH, diagnose, label_map, map_labels, masks, said, save


@pytest.mark.parametrize(("side", "told"), [(8, True), (18, False)])
def test_objects_are_small_where_their_area_is_below_that_of_a_cell(root: Path, side: int, told: bool) -> None:
    for path in masks(root):
        labels = np.zeros((HEIGHT, WIDTH), np.uint8)
        labels[2 : 2 + side, 2 : 2 + side] = labels[2 : 2 + side, 32 : 32 + side] = 2
        save(path, labels)
    assert told == any(finding.kind == "small-objects" for finding in diagnose(root).findings)


def test_small_objects_are_no_finding_where_large_ones_have_most_of_the_pixels(root: Path) -> None:
    for path in masks(root):
        labels = label_map(int(path.stem))
        labels[2, 2:60:6] = 2
        save(path, labels)
    assert not any(finding.kind == "small-objects" for finding in diagnose(root).findings)


def test_ignored_pixels_are_no_finding(root: Path) -> None:
    map_labels(root, lambda labels: np.where(np.arange(WIDTH) < 8, 255, labels).astype(np.uint8))
    assert said(diagnose(root)) == []
