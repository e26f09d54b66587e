from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from deeplab.data import Sample, open_dataset
from deeplab.data.doctor import examine, repair

from ._sabotage import LISTS, diagnose, said, write_lists


def test_equal_files_are_found_among_many_that_look_alike(root: Path) -> None:
    still = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)
    for split, seed in (("train", 1), ("val", 1)):
        mask = next((root / split / "masks").iterdir()).read_bytes()
        for number in range(12):
            frame = np.clip(still + np.random.default_rng((seed, number)).normal(0, 1, still.shape), 0, 255)
            Image.fromarray(frame.astype(np.uint8)).save(root / f"{split}/images/still{number:02}.png")
            (root / f"{split}/masks/still{number:02}.png").write_bytes(mask)
    (finding,) = (each for each in diagnose(root).findings if each.kind == "copies-across-splits")
    same = {case.files[0].stem for case in finding.cases if case.remark == "the same file"}
    assert same == {f"still{number:02}" for number in range(12)}


def test_lists_that_have_images_in_common_by_design_are_no_copies(voc: Path, tmp_path: Path) -> None:
    assert said(diagnose(voc)) == []
    repair(diagnose(voc), tmp_path / "repaired")
    splits = open_dataset(tmp_path / "repaired").splits
    assert {split: "".join(sample.image.stem for sample in samples) for split, samples in splits.items()} == LISTS


@pytest.mark.parametrize("learnt", ["train", "trainaug"])
def test_an_image_that_is_learnt_from_and_measured_on_is_told_and_kept_to_measure_on(
    voc: Path, tmp_path: Path, learnt: str
) -> None:
    write_lists(voc, **{**LISTS, learnt: LISTS[learnt] + "4"})
    diagnosis = diagnose(voc)
    assert said(diagnosis) == [
        "warning copies-across-splits: 1 image in two splits: JPEGImages/4.png = JPEGImages/4.png (the same file)"
    ]
    repair(diagnosis, tmp_path / "repaired")
    splits = open_dataset(tmp_path / "repaired").splits
    assert {split: "".join(sample.image.stem for sample in samples) for split, samples in splits.items()} == LISTS


def test_an_image_that_a_list_has_twice_is_told_and_copied_once(voc: Path, tmp_path: Path) -> None:
    write_lists(voc, val="4545")
    assert said(diagnose(voc)) == [
        "note copies: 4 images that look alike, in 2 groups: JPEGImages/4.png = JPEGImages/4.png, "
        "JPEGImages/5.png = JPEGImages/5.png"
    ]
    repair(diagnose(voc), tmp_path / "repaired")
    assert len(open_dataset(tmp_path / "repaired").split("val")) == 2


def test_lists_of_everything_hide_no_copy(voc: Path) -> None:
    for kind in ("JPEGImages", "SegmentationClass"):
        shutil.copyfile(voc / kind / "4.png", voc / kind / "3.png")
    kinds = [finding.kind for finding in diagnose(voc).findings]
    assert kinds == ["copies-across-splits", "copies"]  # train and val; trainval


def test_a_photo_that_is_in_two_splits_of_a_real_data_set_is_found(shared: Path) -> None:
    root = shared / "data/clothing_ccp"
    samples = [Sample(root / "train/images/0183.jpg"), Sample(root / "test/images/0730.jpg")]
    splits = {"train": (samples[0],), "test": (samples[1],)}
    kinds = [finding.kind for finding in examine(replace(open_dataset(root), splits=splits)).findings]
    assert kinds == ["no-train", "copies-across-splits", "no-split"]
