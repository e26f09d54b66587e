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

from deeplab import checkpoints
from deeplab.images import write_image
from deeplab.weights import reclass

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
def prepare(systems, tmp_path_factory):
    """`prepare(**options)`: the folder of a torchvision network's models, which nothing is exported of."""

    def make(**options):
        folder = tmp_path_factory.mktemp("torchvision_mobilenet")
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(systems, "CROP", 65)
            patch.setattr(systems, "find_spec", lambda _: None)
            patch.setattr(systems, "sizes_of", lambda _: {"513": (65, 65)})
            systems.prepare("torchvision_mobilenet", folder, Path(), **options)
        return folder

    return make


@pytest.fixture(scope="module")
def prepared(prepare):
    return prepare()


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


def test_weights_that_were_learned_take_the_place_of_the_random_ones(systems, prepare, prepared, tmp_path):
    learned = checkpoints.load(prepared / "deeplab.safetensors")
    few = reclass(learned, ("person", "cat", "dog"))
    few.model.classify.bias.data += torch.tensor([0.0, 0.0, 1e4])
    checkpoints.save(tmp_path / "few.safetensors", few)
    photo = tmp_path / "photo.png"
    write_image(photo, systems.photo()[60:109, 200:265])
    folder = prepare(weights=tmp_path / "few.safetensors", of=photo)
    assert systems.notes_of(folder)["weights"] == systems.LEARNED
    assert systems.notes_of(folder)["classes"] == 3
    found = checkpoints.load(folder / "deeplab.safetensors").model.state_dict()
    assert all(torch.equal(found[name], tensor) for name, tensor in few.model.state_dict().items())
    assert (systems.open_system("torchvision_mobilenet", systems.DOCUMENTED, "513", folder, 1)(photo) == 2).all()


def test_batchnorm_keeps_the_statistics_of_the_crops(systems, prepared):
    model = systems.NETWORKS["torchvision_mobilenet"].build(systems.NUM_CLASSES)
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
    notes = {"weights": "its own", "classes": 21, "photo": None, "work": {"513": work}}
    (tmp_path / "tflite" / "about.json").write_text(json.dumps(notes))
    machine = {"processor": "p", "threads": 2, "instructions": "i", "versions": {"torch": "2"}}
    benchmark.keep(tmp_path, "machine", "machine", {**machine, "multiply_adds": 1000.0, "bytes": 1e9})
    for system, seconds, agreement in (
        ("as documented", 0.4, 1.0),
        ("deeplab, onnx", 0.2, 0.99),
        ("all threads", 1, 1),
    ):
        row = {
            "network": "tflite",
            "size": "513",
            "pixels": [513, 513],
            "system": system,
            "agreement": agreement,
            "rounds": 7,
        }
        ratios = {"seconds": seconds, "quartiles": [seconds] * 2, "documented": 0.4 / seconds, "best": 0.4 / seconds}
        benchmark.keep(tmp_path, "rows", system, row | ratios)
    benchmark.write(tmp_path / "page.md", tmp_path)
    page = (tmp_path / "page.md").read_text()
    assert "\nWeights: its own; 21 classes; 7 turns of each.\n" in page
    assert "| 513 x 513 | deeplab, onnx | 0.200 | 0.200 .. 0.200 | 2.00 | 2.00 | 99.000% | 50% |" in page
    assert "| tflite | 513 x 513 | 4.00 | deeplab, onnx | 2.00 | faster | - | - | not measured |" in page
    bars, rows = page.index("## The bars"), page.index("as documented |")
    assert bars < rows < page.index("all threads |", rows) < page.index("deeplab, onnx |", rows)


@pytest.mark.parametrize(
    ("system", "times", "agreement", "peak", "verdicts"),
    [
        ("deeplab, onnx", 3.5, 0.9995, 900, ["met", "not measured"]),
        ("deeplab, onnx", 2.5, 0.9995, 900, ["missed: too slow", "not measured"]),
        ("deeplab, onnx", 2.5, 0.9995, 200, ["missed: beyond the peak", "not measured"]),
        ("deeplab, onnx", 3.5, 0.99, 900, ["missed: other labels", "not measured"]),
        ("deeplab, onnx int8", 6.5, 0.995, 900, ["not measured", "met"]),
        ("deeplab, onnx int8", 5.5, 0.98, 900, ["not measured", "missed: too slow, other labels"]),
    ],
)
def test_a_bar_is_met_by_speed_and_equal_labels_together(benchmark, system, times, agreement, peak, verdicts):
    documented = {"size": "513", "pixels": [513, 513], "system": "as documented", "seconds": 1.0, "agreement": 1.0}
    ours = {"size": "513", "system": system, "documented": times, "agreement": agreement}
    work, machine = {"513": {"inside": 100}}, {"multiply_adds": peak}
    *_, in_float32, _, _, in_fewer_bits = benchmark.bar_of("smp_mobilenet", [documented, ours], work, machine, {})
    assert [in_float32, in_fewer_bits] == verdicts


def test_a_network_that_says_one_class_everywhere_is_not_measured(benchmark, tmp_path, monkeypatch):
    class Labelled:
        def __init__(self, *_):
            pass

        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

        def ask(self, *_):
            return 1.0, np.zeros((8, 8), np.uint8)

    monkeypatch.setattr(benchmark, "Processes", Labelled)
    monkeypatch.setattr(benchmark, "notes_of", lambda folder: {"photo": None})
    monkeypatch.setattr(benchmark, "photo", lambda path: np.zeros((8, 8, 3), np.uint8))
    (tmp_path / "smp_mobilenet").mkdir()
    with pytest.raises(SystemExit, match="smp_mobilenet says one class everywhere, so that equal labels say nothing"):
        benchmark.measure("smp_mobilenet", "513", [benchmark.DOCUMENTED], tmp_path, rounds=1, threads=1)
    assert not (tmp_path / "results.json").exists()


def test_rows_of_an_earlier_run_are_forgotten(benchmark, tmp_path):
    for key in ("a 513 x", "a 1024 x", "ab 513 x"):
        benchmark.keep(tmp_path, "rows", key, {})
    benchmark.forget(tmp_path, "a 513 ")
    assert list(benchmark.kept(tmp_path)["rows"]) == ["a 1024 x", "ab 513 x"]
