"""`deeplab tune-crf`: the table, the verdict, the file that --crf takes, what it refuses."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import deeplab
from deeplab.crf import PRESETS
from deeplab.images import color_map, write_image, write_labels

Run = Callable[..., Any]


@pytest.fixture
def pets(data: Path, make_image: Callable[..., Any]) -> Path:
    """The data set with four photos in val."""
    for number in range(1, 4):
        labels = np.zeros((24, 32), np.uint8)
        labels[4 : 12 + number, 4:20] = 1
        write_image(data / "val" / "images" / f"{number}.png", make_image(24, 32, seed=number))
        write_labels(data / "val" / "masks" / f"{number}.png", labels, palette=color_map(3))
    return data


@pytest.fixture
def tune(run: Run, tiny: Path, pets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """`tune(...)`: the command with a single kernel to try beside one preset."""
    room = importlib.import_module("deeplab.evaluation.tune_crf")
    monkeypatch.setattr(room, "PRESETS", {"v1": PRESETS["v1"]})
    small = ("--weight", "2", "--sigma-xy", "5", "--sigma-rgb", "20", "--output", tmp_path / "own.json")
    return lambda *flags: run("tune-crf", tiny, pets, *small, *flags)


def test_the_best_is_written_to_a_file_that_segment_takes(
    tune: Run, run: Run, tiny: Path, pets: Path, tmp_path: Path
) -> None:
    status, out, err = tune("--json")
    assert (status, err) == (0, "")
    figures = json.loads(out.splitlines()[-1])
    assert figures["output"] == str(tmp_path / "own.json")
    assert figures["images"] == figures["images_of_choice"] == 2
    assert len(figures["trials"]) == 2
    assert {"best", "helps", "verdict", "gain", "miou", "miou_without", "miou_of_choice"} <= figures.keys()
    assert json.loads((tmp_path / "own.json").read_text())["best"] == figures["best"]
    assert run("evaluate", tiny, pets, "--crf", tmp_path / "own.json").status == 0


def test_the_table_has_every_trial_and_the_model_without(tune: Run, tmp_path: Path) -> None:
    lines = tune().out.splitlines()
    rows = dict(line.split("\t") for line in lines[:3])
    assert set(rows) == {"without", "v1", "weight 2, xy 5, rgb 20, smooth 3, xy 3"}
    assert lines[-2].startswith(("The CRF helps", "The CRF makes it worse", "It is not shown"))
    assert str(tmp_path / "own.json") in lines[-1]


def test_the_python_call_gives_the_same_figures(tune: Run, tiny: Path, pets: Path, tmp_path: Path) -> None:
    figures = json.loads(tune("--json").out.splitlines()[-1])
    report = deeplab.tune_crf(
        tiny, pets, weight=2, sigma_xy=5, sigma_rgb=20, output=tmp_path / "other.json", smoothness=(3, 3)
    )
    assert report.as_dict() == {name: value for name, value in figures.items() if name != "output"}
    assert deeplab.load(tiny, crf=tmp_path / "other.json").crf.kernels == report.crf.kernels


def test_ctrl_c_says_where_what_is_finished_lies(tune: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(importlib.import_module("deeplab.evaluation.tune_crf"), "DenseCRF", interrupt)
    status, _, err = tune()
    assert status == 130
    assert f"kept in {tmp_path / 'own.trials'}; the same command goes on" in err
    assert any((tmp_path / "own.trials").iterdir())


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--output", "own.yaml"), "output wants a name that ends in .json, got own.yaml"),
        (("--weight", "0"), "weight wants numbers with commas between (above 0), got '0'"),
        (("--limit", "3"), "limit wants a whole number (at least 4), got '3'"),
        (("--split", "train"), "2 images in split 'train'; wanted at least 4"),
        (("--split", "test"), "no images in split 'test'"),
        (("--classes", "background, cat"), "has 2 classes and the model 3"),
    ],
)
def test_what_cannot_work_is_told_in_a_line(tune: Run, flags: tuple[str, ...], message: str) -> None:
    status, _, err = tune(*flags)
    assert status == 2
    assert err.startswith("deeplab: ")
    assert message in err
    assert err.count("\n") == 1


def test_nothing_is_written_into_the_data_set(tune: Run, pets: Path) -> None:
    assert "lies inside the data set" in tune("--output", pets / "own.json").err
