from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from deeplab.data import DataSet, Sample
from deeplab.data.doctor import examination
from deeplab.data.doctor import remembered as memory
from deeplab.data.doctor.inspection import Inspection, inspect

from ._sabotage import CLASSES, diagnose, label_map, said, save


def test_an_image_in_two_lists_is_read_once_for_each_mask_that_it_has(
    voc: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DEEPLAB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(memory, "WORTHWHILE", 2)
    (voc / "SegmentationClassAug").mkdir()
    save(voc / "SegmentationClassAug/0.png", np.minimum(label_map(0), 1))
    reads: list[str] = []

    def read(sample: Sample, dataset: DataSet) -> Inspection:
        reads.append(sample.image.stem)
        return inspect(sample, dataset)

    monkeypatch.setattr(examination, "inspect", read)
    before = diagnose(voc).evidence
    assert sorted(reads) == list("00123456")
    assert diagnose(voc).evidence.examined == before.examined
    assert len(reads) == 8
    images = {split: count.images.tolist() for split, count in before.counts.items()}
    assert (images["train"], images["trainaug"]) == ([4, 4, 4], [5, 5, 4])


@pytest.fixture
def reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the images that are read, while even few are remembered."""
    monkeypatch.setenv("DEEPLAB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(memory, "WORTHWHILE", 2)
    found: list[str] = []

    def read(sample: Sample, dataset: DataSet) -> Inspection:
        found.append(sample.image.name)
        return inspect(sample, dataset)

    monkeypatch.setattr(examination, "inspect", read)
    return found


def test_what_was_read_is_remembered_until_a_file_changes(root: Path, reads: list[str]) -> None:
    before = diagnose(root)
    reads.clear()
    again = diagnose(root)
    assert (reads, again.evidence.examined) == ([], before.evidence.examined)
    save(root / "train/masks/1.png", label_map(9) * 100)
    assert [finding.kind for finding in diagnose(root).errors] == ["label-range"]
    assert reads == ["1.png"]


def test_a_file_that_was_written_anew_is_read_again_though_its_size_is_the_same(root: Path, reads: list[str]) -> None:
    diagnose(root)
    reads.clear()
    status = (root / "train/masks/1.png").stat()
    os.utime(root / "train/masks/1.png", ns=(status.st_atime_ns, status.st_mtime_ns + 1_000_000))
    diagnose(root)
    assert reads == ["1.png"]


def test_all_is_read_again_once_the_classes_have_other_colours(root: Path, reads: list[str]) -> None:
    diagnose(root)
    before = sorted(reads)
    reads.clear()
    (root / "classes.txt").write_text(CLASSES.replace("200 30 30", "30 200 30"), encoding="utf-8")
    diagnose(root)
    assert sorted(reads) == before


def test_a_cache_that_cannot_be_read_or_written_is_no_obstacle(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "WORTHWHILE", 2)
    monkeypatch.setenv("DEEPLAB_CACHE", str(tmp_path / "cache"))
    diagnose(root)
    (file,) = (tmp_path / "cache/doctor").iterdir()
    file.write_text("[")
    assert said(diagnose(root)) == []
    (tmp_path / "file").touch()
    monkeypatch.setenv("DEEPLAB_CACHE", str(tmp_path / "file"))
    assert said(diagnose(root)) == []
