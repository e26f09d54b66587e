"""Broken data sets, each made from a sound one by a single act of sabotage, and what the doctor says of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from deeplab.data import open_dataset
from deeplab.data.doctor import examine

from ._sabotage import SABOTAGE, diagnose, said


def test_a_sound_data_set_has_no_findings(root: Path) -> None:
    assert said(diagnose(root)) == []


@pytest.mark.parametrize("act", SABOTAGE)
def test_each_act_of_sabotage_is_told_in_a_line(root: Path, act: str) -> None:
    damage, line = SABOTAGE[act]
    damage(root)
    told = said(diagnose(root))
    assert [each for each in told if each.startswith(line)], told


@pytest.mark.parametrize("act", [act for act, (_, line) in SABOTAGE.items() if not line.startswith("error")])
def test_what_a_training_can_do_is_no_error(root: Path, act: str) -> None:
    SABOTAGE[act][0](root)
    assert diagnose(root).errors == ()


@pytest.mark.parametrize(
    ("act", "fix"),
    [
        ("masks of other names", "Rename the masks as their images, as in 0_mask to 0; --fix does."),
        ("transposed mask", "Turn the masks: export (height, width), not (width, height)."),
        ("numbers spread over 0..255", "spread over 0..255, as in 0, 128, 255: divide them by 127.5; --fix does."),
        ("numbers from 1", "The classes are counted from 1: subtract 1; --fix does."),
        ("0 and 255 with smoothed edges", "0 and 255 with smoothed edges: export the masks without smoothing"),
        ("0 and 255", "Write 1 instead of 255."),
    ],
)
def test_the_way_out_is_that_of_the_cause(root: Path, act: str, fix: str) -> None:
    SABOTAGE[act][0](root)
    assert fix in " ".join(finding.fix for finding in diagnose(root).findings)


@pytest.mark.parametrize("act", ["dots", "small image"])
def test_a_long_side_that_enlarges_or_shrinks_is_reckoned_with(root: Path, act: str) -> None:
    SABOTAGE[act][0](root)
    kind = SABOTAGE[act][1].split(":")[0].split()[1]

    def is_told(long_side: int | None) -> bool:
        return any(finding.kind == kind for finding in diagnose(root, long_side=long_side).findings)

    assert [is_told(side) for side in (None, 64, 1024, 4096)] == [True, True, False, False]
    assert is_told(16)


@pytest.mark.parametrize(
    "name", ["camvid", "clothing_ccp", "coco128_voc21", "dubai_aerial", "dsb2018_nuclei96", "isbi2012_em"]
)
def test_the_first_real_samples_raise_no_error(shared: Path, name: str) -> None:
    dataset = open_dataset(shared / "data" / name)
    few = {split: samples[:12] for split, samples in dataset.splits.items()}
    kinds = [finding.kind for finding in examine(replace(dataset, splits=few)).errors]
    assert kinds == ([] if "train" in few else ["no-train"])
