"""What benchmarks/photo_to_labels.py compares gives the same labels, and its page says what was measured."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from deeplab.images import write_image

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"


@pytest.fixture(scope="module")
def systems():
    pytest.importorskip("torchvision", reason="needs the extra train")
    yield from imported("speed_systems")


@pytest.fixture(scope="module")
def benchmark(systems):
    yield from imported("photo_to_labels")


def imported(name):
    if not (BENCHMARKS / f"{name}.py").is_file():
        pytest.skip("benchmarks/ is not in this copy of the project")
    sys.path.insert(0, str(BENCHMARKS))
    yield importlib.import_module(name)
    sys.path.remove(str(BENCHMARKS))
    del sys.modules[name]


@pytest.fixture(scope="module")
def prepared(systems, tmp_path_factory):
    """The folder of a torchvision network's models, which nothing is exported of."""
    folder = tmp_path_factory.mktemp("torchvision_mobilenet")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(systems, "CROP", 65)
        patch.setattr(systems, "find_spec", lambda _: None)
        patch.setattr(systems, "sizes_of", lambda _: {"513": (65, 65)})
        systems.prepare("torchvision_mobilenet", folder, Path())
    return folder


def test_theirs_and_ours_give_the_same_varied_labels(systems, prepared, tmp_path):
    file = tmp_path / "photo.png"
    write_image(file, systems.photo()[60:109, 200:265])
    documented, best, ours = (
        systems.open_system("torchvision_mobilenet", system, "513", prepared, 1)(file)
        for system in (systems.DOCUMENTED, "channels-last", "deeplab, torch")
    )
    assert documented.shape == ours.shape == (49, 65)
    assert (documented == ours).mean() > 0.999
    assert (documented == best).mean() > 0.999
    assert len(np.unique(ours)) > 3


def test_batchnorm_keeps_the_statistics_of_the_crops(systems, prepared):
    model = systems.NETWORKS["torchvision_mobilenet"].build()
    model.load_state_dict(systems.load_file(prepared / "theirs.safetensors"))
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    assert all(not torch.equal(norm.running_var, torch.ones_like(norm.running_var)) for norm in norms)


def test_a_square_holds_the_whole_image(systems, make_image):
    square, size = systems.padded_square(make_image(20, 40), side=33)
    assert (square.shape, size) == ((33, 33, 3), (16, 33))
    assert (square[16:] == 128).all()


def test_the_page_has_the_rows_and_says_which_bars_are_met(benchmark, tmp_path):
    (tmp_path / "tflite").mkdir()
    work = {"multiply_adds": 200, "inside": 100, "bytes": 8}
    (tmp_path / "tflite" / "work.json").write_text(json.dumps({"513": work}))
    machine = {"processor": "p", "threads": 2, "instructions": "i", "versions": {"torch": "2"}}
    benchmark.keep(tmp_path, "machine", "machine", {**machine, "multiply_adds": 1000.0, "bytes": 1e9})
    for system, seconds, agreement in (
        ("as documented", 0.4, 1.0),
        ("deeplab, onnx", 0.2, 0.99),
        ("all threads", 1, 1),
    ):
        row = {"network": "tflite", "size": "513", "pixels": [513, 513], "system": system, "agreement": agreement}
        ratios = {"seconds": seconds, "quartiles": [seconds] * 2, "documented": 0.4 / seconds, "best": 0.4 / seconds}
        benchmark.keep(tmp_path, "rows", system, row | ratios)
    benchmark.write(tmp_path / "page.md", tmp_path)
    page = (tmp_path / "page.md").read_text()
    assert "| 513 x 513 | deeplab, onnx | 0.200 | 0.200 .. 0.200 | 2.00 | 2.00 | 99.000% | 50% |" in page
    assert "| tflite | 513 x 513 | 4.00 | deeplab, onnx | 2.00 | faster | - | - | not measured |" in page
    assert page.index("as documented |") < page.index("all threads |") < page.index("deeplab, onnx |")


def test_rows_of_an_earlier_run_are_forgotten(benchmark, tmp_path):
    for key in ("a 513 x", "a 1024 x", "ab 513 x"):
        benchmark.keep(tmp_path, "rows", key, {})
    benchmark.forget(tmp_path, "a 513 ")
    assert list(benchmark.kept(tmp_path)["rows"]) == ["a 1024 x", "ab 513 x"]
