"""`deeplab export`: a file that gives the model's labels, or one line."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

pytest.importorskip("onnxruntime", reason="needs the extra onnx")
pytest.importorskip("onnxscript", reason="needs the extra onnx")

import deeplab
from deeplab import checkpoints
from deeplab.checkpoints import Checkpoint
from deeplab.errors import SettingsError
from deeplab.images import color_map, read_labels
from deeplab.models import create_model
from deeplab.models._base import SegmentationModel
from deeplab.settings import EXPORT_SUFFIXES

pytestmark = pytest.mark.usefixtures("few_layers")


@pytest.fixture(scope="module")
def model(few_layers: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of the classes of `data`, with few layers."""
    torch.manual_seed(0)
    model = create_model("deeplabv3", backbone="resnet18", num_classes=3, aspp_channels=8, atrous_rates=())
    path = tmp_path_factory.mktemp("models") / "few.safetensors"
    checkpoints.save(path, Checkpoint(model.eval(), ("background", "cat", "dog"), color_map(3)))
    return path


def test_the_file_is_compared_on_the_masks_and_segments(run: Any, model: Path, data: Path, tmp_path: Path) -> None:
    exported = tmp_path / "few.onnx"
    size = ("--fixed-size", "24,32")
    status, out, _ = run("export", model, "--output", exported, "--data", data, *size, "--labels", "--json")
    assert status == 0
    figures = json.loads(out.splitlines()[-1])
    assert (figures["format"], figures["images"], figures["agreement"]) == ("onnx", 1, 1)
    assert figures["logits"] < 1e-4
    assert figures["label_map"] == 1
    assert figures["miou"][0] == figures["miou"][1]
    assert figures["bytes"] == exported.stat().st_size
    assert [line.partition("\t")[0] for line in out.splitlines()[:3]] == [
        "equal labels",
        "largest difference of a probability",
        "largest difference of a logit, over their deviation",
    ]
    photo = data / "val" / "images" / "0.png"
    assert run("segment", photo, "--model", exported, "--output", tmp_path / "out").status == 0
    np.testing.assert_array_equal(read_labels(tmp_path / "out" / "0.png"), deeplab.load(exported)(photo).labels)
    status, out, _ = run("evaluate", exported, data, "--json")
    assert json.loads(out.splitlines()[-1])["miou"] == pytest.approx(figures["miou"][1])


def test_classes_are_dropped_by_one_option(model: Path, data: Path, tmp_path: Path) -> None:
    compared: list[Any] = []
    path = deeplab.export(
        model, tmp_path / "two.pt2", classes=["tom=cat", "background"], data=data, fixed_size=(24, 32),
        on_compared=lambda parity, _: compared.append(parity),
    )  # fmt: skip
    assert deeplab.load(path).classes == ("tom", "background")
    assert compared[0].agreement == 1
    assert compared[0].miou is not None


def test_classes_are_not_merged(model: Path, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="classes: animal is made of 2 classes, which a model has to learn"):
        deeplab.export(model, tmp_path / "x.pt2", classes=["background", "animal=*"], fixed_size=(24, 32))
    assert not (tmp_path / "x.pt2").exists()


def test_masks_of_other_classes_are_not_compared_and_that_is_said(
    model: Path, data: Path, tmp_path: Path, caplog: Any
) -> None:
    (data / "classes.txt").write_text("background\ncow\ndog\n")
    compared: list[Any] = []
    options: dict[str, Any] = {"data": data, "fixed_size": (24, 32), "classes": ["cat", "background"]}
    on_compared = lambda parity, _: compared.append(parity)  # noqa: E731
    deeplab.export(model, tmp_path / "two.pt2", on_compared=on_compared, **options)
    assert compared[0].miou is None
    assert f"the masks of {data} are not compared" in caplog.text


def test_nothing_is_written_below_the_agreement(run: Any, model: Path, tmp_path: Path, monkeypatch: Any) -> None:
    other = checkpoints.load(model).model
    other.classify.weight.data.neg_()
    monkeypatch.setattr("deeplab.runtimes.graph.folded", lambda _: other)
    output = tmp_path / "wrong.pt2"
    status, out, err = run("export", model, "--output", output, "--fixed-size", "64", "--limit", 1)
    assert status == 2
    assert "equal labels" in out
    assert err.startswith(f"deeplab: {output}: ")
    assert "nothing is written" in err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("suffix", EXPORT_SUFFIXES.values())
def test_nothing_is_written_with_a_label_map_that_is_not_that_of_the_logits(
    run: Any, model: Path, tmp_path: Path, monkeypatch: Any, suffix: str
) -> None:
    if suffix == ".mlpackage":
        pytest.skip("runs on macOS alone")
    pytest.importorskip({".xml": "openvino", ".tflite": "ai_edge_litert"}.get(suffix, "onnxruntime"))
    full_size = SegmentationModel.full_size
    monkeypatch.setattr(SegmentationModel, "full_size", lambda *given: full_size(*given) * -1)
    output = tmp_path / f"x{suffix}"
    status, out, err = run("export", model, "--output", output, "--fixed-size", "64", "--limit", 1, "--labels")
    assert status == 2
    assert "equal labels\t\t100.000%" in out
    assert "its label map has the classes of its own logits in" in err
    assert not output.exists()


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (("--format", "onx"), "no format 'onx'; did you mean onnx"),
        (("--output", "x.pth"), "output wants a name that ends in .onnx, .xml, .pt2, .tflite, .mlpackage, got x.pth"),
        (("--output", "x.xml", "--format", "onnx"), "output wants a name that ends in .onnx for onnx, got x.xml"),
        (("--fixed-size", "0"), "fixed_size wants one or two whole numbers (at least 1), got '0'"),
        (("--agreement", "2"), "agreement wants a number (above 0, at_most 1)"),
        (("--int8",), "int8 and calibration go together"),
        (("--calibration", "photos"), "int8 and calibration go together"),
        (("--format", "coreml"), "coreml files run on macOS only, so that nothing would be proven here; export there"),
        (("--precision", "bfloat16"), "precision bfloat16 is for openvino, not onnx; leave it out"),
        (("--unproven",), "unproven is for coreml, without data and int8, for it compares nothing; leave one out"),
        (("--format", "coreml", "--unproven", "--data", "x"), "unproven is for coreml, without data and int8"),
    ],
)
def test_wrong_options_are_told_in_one_line(run: Any, options: tuple[str, ...], problem: str, monkeypatch: Any) -> None:
    monkeypatch.setattr("deeplab.settings.sys", SimpleNamespace(platform="linux"))
    status, out, err = run("export", "street", *options)
    assert (status, out) == (2, "")
    assert err.startswith(f"deeplab: {problem}") or problem.partition(" (")[0] in err


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (
            ("--format", "exported-program", "--int8", "--calibration"),
            "int8 is for onnx, openvino and litert, not for exported-p",
        ),
        (("--format", "litert", "--data"), "litert files take images of one size; name it with --fixed-size"),
    ],
)
def test_what_a_format_does_not_have_is_told_in_one_line(
    run: Any, model: Path, photo: Any, tmp_path: Path, options: tuple[str, ...], problem: str
) -> None:
    for number in range(8):
        folder = photo(f"photos/{number}.png").parent
    suffix = {"litert": ".tflite", "exported-program": ".pt2"}[options[1]]
    output = tmp_path / "out" / f"x{suffix}"
    status, out, err = run("export", model, "--output", output, *options, folder)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert err.startswith(f"deeplab: {problem}")
    assert list(output.parent.iterdir()) == []


def test_eight_bits_need_more_than_one_image(run: Any, model: Path, data: Path, tmp_path: Path) -> None:
    folder = data / "val" / "images"
    output = tmp_path / "x.onnx"
    status, _, err = run("export", model, "--output", output, "--int8", "--calibration", folder, "--fixed-size", "32")
    assert (status, err.count("\n")) == (2, 1)
    assert "calibration has 1 image; int8 wants at least 8" in err
    assert not output.exists()


def test_a_file_is_compared_in_the_precision_that_it_will_be_opened_with(
    run: Any, model: Path, data: Path, tmp_path: Path
) -> None:
    openvino = pytest.importorskip("openvino", reason="needs the extra openvino")
    options = ("--output", tmp_path / "few.xml", "--data", data, "--precision", "bfloat16", "--json")
    status, out, err = run("export", model, *options)
    if "BF16" in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        assert status == 0
        assert 1e-4 < json.loads(out.splitlines()[-1])["logits"] < 0.1
        assert f"{tmp_path / 'few.xml'} --precision bfloat16" in out
    else:
        assert (status, err.count("\n")) == (2, 1)
        assert "precision bfloat16: this processor has no instructions for it" in err


@pytest.mark.parametrize("suffix", [".onnx", ".tflite"])
def test_eight_bits_say_what_they_lose_and_keep_layers_until_it_is_little(
    run: Any, model: Path, data: Path, tmp_path: Path, monkeypatch: Any, suffix: str
) -> None:
    answers = iter([False, False, True, True])  # of each comparison, and of the last once more
    monkeypatch.setattr("deeplab.evaluation.Parity.holds", property(lambda _: next(answers)))
    photos = tmp_path / "photos"
    photos.mkdir()
    for number in range(8):
        (photos / f"{number}.png").write_bytes((data / "train" / "images" / f"{number % 2}.png").read_bytes())
    options = ("--output", tmp_path / f"x{suffix}", "--int8", "--calibration", photos, "--data", data)
    status, out, _ = run("export", model, *options, "--fixed-size", "24,32", "--json")
    assert status == 0
    assert out.startswith("8-bit convolutions; in float32: none\nequal labels\t\t")
    assert out.count("8-bit convolutions") == out.count("equal labels") == 3
    (*_, kept) = (line.partition("in float32: ")[2] for line in out.splitlines() if line.startswith("8-bit"))
    assert kept.split(", ") == json.loads(out.splitlines()[-1])["float32_layers"]
    assert len(kept.split(", ")) >= 2


@pytest.mark.parametrize("classes", [(), ("--classes", "cat,background")])
def test_what_is_not_proven_is_written_when_asked_and_said_to_be_so(
    run: Any, model: Path, tmp_path: Path, classes: tuple[str, ...], monkeypatch: Any
) -> None:
    def save(path: Path, graph: Any, *, int8: None) -> None:
        (path / "Data").mkdir(parents=True)
        (path / "Data" / "classes").write_text(",".join(graph.description().classes))

    monkeypatch.setattr("deeplab.runtimes.coreml.save", save)
    output = tmp_path / "few.mlpackage"
    options = ("--output", output, "--fixed-size", "24,32", *classes)
    status, out, _ = run("export", model, *options, "--unproven", "--json")
    assert (output / "Data" / "classes").read_text() == (classes[1] if classes else "background,cat,dog")
    assert (status, out.splitlines()[0]) == (
        0,
        f"{output}: 0.0 MB, not compared with the model; next, on macOS: deeplab compare {model} {output} DATA",
    )
    assert json.loads(out.splitlines()[1]).items() >= {"format": "coreml", "images": 0, "output": str(output)}.items()
    status, _, err = run("export", model, *options, "--unproven")
    assert (status, err.count("\n")) == (2, 1)
    assert "cannot be written" in err


def test_an_exported_file_cannot_be_exported_again(run: Any, tmp_path: Path) -> None:
    (tmp_path / "x.onnx").write_bytes(b"something")
    status, _, err = run("export", tmp_path / "x.onnx", "--output", tmp_path / "y.onnx")
    assert status == 2
    assert "an ONNX model" in err
    assert err.count("\n") == 1
