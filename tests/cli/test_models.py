"""`deeplab models`"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import deeplab
from deeplab import weights
from deeplab.training.recipes import RECIPES


def test_every_entry_is_listed_with_what_it_is(run: Callable[..., Any]) -> None:
    status, out, err = run("models", "--json")
    assert (status, err) == (0, "")
    found = json.loads(out.splitlines()[-1])
    assert list(found["models"]) == deeplab.list_models()
    assert list(found["backbones"]) == deeplab.list_backbones()
    assert list(found["weights"]) == deeplab.list_weights()
    assert all(text for entries in found.values() for text in entries.values())


def test_a_pipe_gets_one_line_per_entry(run: Callable[..., Any]) -> None:
    rows = [line.split("\t") for line in run("models").out.splitlines()]
    assert ["models", "deeplabv3plus"] in [row[:2] for row in rows]
    assert {len(row) for row in rows} == {3}


def test_the_weights_of_a_publisher_are_one_line_and_all_there_in_json(run: Callable[..., Any]) -> None:
    *lines, last = run("models", "--json").out.splitlines()
    rows = dict(line.split("\t")[1:] for line in lines if line.startswith("weights\t"))
    assert list(rows)[:5] == ["cityscapes", "objects", "street", "tf/...", "torchvision/..."]
    assert rows["torchvision/..."] == "3 models, downloaded once; listed by --weights"
    assert rows["jfzhang95/..."] == "1 model, to be downloaded by hand; listed by --weights"
    described = json.loads(last)["weights"]
    assert described["vainf/deeplabv3plus_resnet50_voc_os16"].endswith("21 classes, to be downloaded by hand")
    assert described["tf/xception65_ade20k_train"].endswith("151 classes, downloaded once")


def test_backbones_of_one_file_are_told_apart(run: Callable[..., Any]) -> None:
    backbones = json.loads(run("models", "--json").out.splitlines()[-1])["backbones"]
    assert len(set(backbones.values())) == len(backbones)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DEEPLAB_CACHE", str(tmp_path))
    return tmp_path


def test_published_weights_are_listed_with_what_is_known_of_them(run: Callable[..., Any], cache: Path) -> None:
    rows = {row[0]: row for row in (line.split("\t") for line in run("models", "--weights").out.splitlines())}
    assert list(rows) == [name for name in deeplab.list_weights() if "/" in name]
    assert rows["tf/xception65_coco_voc_trainaug"][1:] == [
        "DeepLab v3+, Xception-65",
        "ImageNet, COCO, VOC 2012 train_aug",
        "21",
        "82.20 VOC 2012 val, one scale, stride 16",
        "439 MB",
        "Apache-2.0",
        "no",
    ]


def test_weights_that_are_in_the_cache_are_told(run: Callable[..., Any], cache: Path) -> None:
    name = "torchvision/deeplabv3_resnet50"
    weights.cached(weights.published()[name]).parent.mkdir(parents=True)
    weights.cached(weights.published()[name]).touch()
    status, out, err = run("models", "--weights", "--json")
    assert (status, err) == (0, "")
    found = json.loads(out.splitlines()[-1])["weights"]
    assert [each for each, facts in found.items() if facts["here"]] == [name]
    assert found[name]["url"].startswith("https://download.pytorch.org/")
    assert found[name]["sha256"] == "cd0a2569"


def test_a_model_that_cannot_be_downloaded_is_one_line(
    run: Callable[..., Any], photo: Callable[[str], Path], cache: Path
) -> None:
    status, out, err = run("segment", photo("x.png"), "--model", "jfzhang95/deeplab-resnet", "--output", cache / "o")
    assert (status, out) == (2, "")
    assert err.startswith("deeplab: jfzhang95/deeplab-resnet: download deeplab-resnet.pth.tar from https://")
    assert err.count("\n") == 1


def test_recipes_are_listed_with_their_figures_and_what_differs(run: Callable[..., Any]) -> None:
    status, out, err = run("models", "--recipes", "--json")
    assert (status, err) == (0, "")
    *lines, last = out.splitlines()
    assert [line.partition("\t")[0] for line in lines] == list(RECIPES)
    assert {line.count("\t") for line in lines} == {2}
    assert json.loads(last)["recipes"]["detectron2"]["options"]["crop_size"] == [512, 1024]
