from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image

from deeplab.backbones import create_backbone
from deeplab.checkpoints import Checkpoint, load, save
from deeplab.errors import CheckpointError
from deeplab.layers import BatchNorm
from deeplab.models import create_model
from deeplab.weights import start_from, tflite, transfer
from deeplab.weights._tflite_graph import Convolution, read_graph
from deeplab.weights.tflite import convert, convert_backbone

PASCAL = "deeplabv3_mnv2_pascal_quant"
PASCAL_HALF_WIDTH = "deeplabv3_mnv2_dm05_pascal_quant"
PASCAL_FLOAT = "deeplabv3_257_float"
CITYSCAPES = "deeplab_mobilenet_edgetpu_slim_cityscapes_quant"
IMAGENET = "tf2_mobilenet_v2_1.0_224_ptq"

REFERENCES = {
    PASCAL: "reference_deeplabv3_mnv2_pascal_quant.npz",
    PASCAL_HALF_WIDTH: "reference_deeplabv3_mnv2_dm05_pascal_quant.npz",
    PASCAL_FLOAT: "reference_deeplabv3_mnv2_dm05_os8_257_float.npz",
}


@pytest.fixture(scope="module")
def weights(shared: Path) -> Path:
    return shared / "weights"


@torch.no_grad()
def predict(checkpoint: Checkpoint, image: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Coarse logits (C, h, w) and labels (H, W) of an image (H, W, 3)."""
    batch = torch.from_numpy(image.astype(np.float32) / 255).permute(2, 0, 1).unsqueeze(0)
    return checkpoint.model.coarse_logits(batch)[0].numpy(), checkpoint.model(batch)[0].argmax(dim=0).numpy()


@pytest.mark.parametrize(("name", "reference"), REFERENCES.items())
def test_float_logits_and_labels_equal_the_reference(weights: Path, name: str, reference: str) -> None:
    expected = np.load(weights / "reference" / reference)
    logits, labels = predict(checkpoint_of(weights / f"{name}.tflite"), expected["input"])
    # float32 in another order of summation: 4e-5 to 5e-5 here on logits up to 31, through more than 50 layers
    np.testing.assert_allclose(logits, expected["logits33"], atol=5e-4, rtol=0)
    assert np.mean(labels == expected["labels"]) > 0.9999  # a pixel may lie on the very border


@pytest.mark.parametrize(("name", "tag"), [(PASCAL, "mnv2"), (PASCAL_HALF_WIDTH, "dm05")])
def test_labels_agree_with_the_8_bit_interpreter(weights: Path, name: str, tag: str) -> None:
    checkpoint = checkpoint_of(weights / f"{name}.tflite")
    agreement = [interpreter_agreement(checkpoint, file) for file in sorted((weights / "outputs").glob(f"*.{tag}.npz"))]
    assert len(agreement) == 8
    # 8-bit activations move 0.2 to 1.3 % of the pixels of a photo; exact ties alone are 0.6 to 0.9 %
    assert np.mean(agreement) >= 0.99
    assert min(agreement) >= 0.985


def checkpoint_of(file):
    return convert(file).checkpoint


def test_cityscapes_labels_agree_with_the_8_bit_interpreter(weights: Path) -> None:
    """On the street scene. Its 8-bit activations are so coarse (steps of 1.7 after the second layer) that on
    photos of other things, where it guesses, float and 8 bits differ, though no single layer does."""
    checkpoint = checkpoint_of(weights / f"{CITYSCAPES}.tflite")
    assert interpreter_agreement(checkpoint, weights / "outputs" / "cityscapes_segmentation.city.npz") >= 0.99


def interpreter_agreement(checkpoint: Checkpoint, output: Path) -> float:
    """Share of the pixels of the picture (not of its padding) with the label of the official graph."""
    expected = np.load(output)
    picture = output.parent.parent / "inputs" / f"{output.name.split('.')[0]}_513.png"
    _, labels = predict(checkpoint, np.array(Image.open(picture).convert("RGB")))
    width, height = expected["valid_wh"]
    return float(np.mean((labels == expected["labels"])[:height, :width]))


def test_the_float_model_reproduces_its_official_test_pair(weights: Path) -> None:
    reference = weights / "reference"
    photo = Image.open(reference / "segmentation_input_rotation0.jpg").convert("RGB")
    golden = np.array(Image.open(reference / "segmentation_golden_rotation0.png").convert("L"))
    image = np.array(photo.resize((257, 257), Image.Resampling.BILINEAR))
    _, labels = predict(checkpoint_of(weights / f"{PASCAL_FLOAT}.tflite"), image)
    colours = np.zeros(21, np.uint8)
    colours[[13, 15]] = 130, 150  # horse, person
    assert golden.shape == labels.shape
    assert np.mean(colours[labels] == golden) == 1


@pytest.mark.parametrize("name", [PASCAL, PASCAL_FLOAT, CITYSCAPES])
def test_every_tensor_has_tensorflows_name_of_its_layer(weights: Path, name: str) -> None:
    conversion = convert(weights / f"{name}.tflite")
    system, block = ("EdgeTPU", "project") if name == CITYSCAPES else ("V2", "depthwise")
    assert (
        conversion.placed[f"Mobilenet{system}/expanded_conv/{block}/biases"] == f"backbone.blocks.0.{block}.norm.bias"
    )
    assert conversion.placed["image_pooling/weights"] == "aspp.image_pooling.conv.weight"
    assert conversion.placed["logits/semantic/biases"] == "classify.bias"
    layers = list(conversion.checkpoint.model.state_dict())
    assert set(conversion.placed.values()) == {
        each for each in layers if each.endswith(("conv.weight", "classify.weight", "bias"))
    }


def test_the_model_is_built_as_the_file_says(weights: Path) -> None:
    facts = ("backbone", "num_classes", "output_stride", "depth_multiplier", "divisible_by", "aspp_channels")
    built = {
        name: tuple(checkpoint_of(weights / f"{name}.tflite").model.arguments[fact] for fact in facts)
        for name in (PASCAL, PASCAL_HALF_WIDTH, PASCAL_FLOAT, CITYSCAPES)
    }
    assert built == {
        PASCAL: ("mobilenetv2", 21, 16, 1.0, 8, 256),
        PASCAL_HALF_WIDTH: ("mobilenetv2", 21, 16, 0.5, 1, 256),
        PASCAL_FLOAT: ("mobilenetv2", 21, 8, 0.5, 1, 256),
        CITYSCAPES: ("mobilenet_edgetpu", 19, 16, 0.75, 8, 128),
    }


def test_classes_are_those_of_the_label_files(weights: Path) -> None:
    pascal = (weights / "pascal_voc_segmentation_labels.txt").read_text().split("\n")[:21]
    cityscapes = (weights / "cityscapes_segmentation_labels.txt").read_text().split("\n")[1:20]  # line 1: background
    assert checkpoint_of(weights / f"{PASCAL}.tflite").classes == tuple(pascal)
    converted = checkpoint_of(weights / f"{CITYSCAPES}.tflite")
    assert converted.classes == tuple(cityscapes)
    assert converted.palette.shape == (19, 3)


def test_normalisation_is_that_of_the_input_tensor(weights: Path) -> None:
    image = torch.tensor([0, 128, 255]).view(1, 1, 1, 3).expand(1, 3, 1, 3) / 255
    eight_bit, floating = (
        checkpoint_of(weights / f"{name}.tflite").model.prepare(image)[0, 0, 0, :3] for name in (PASCAL, PASCAL_FLOAT)
    )
    torch.testing.assert_close(eight_bit, torch.tensor([-1, 0, 127 / 128]))
    torch.testing.assert_close(floating, torch.tensor([-1, 1 / 255, 1]))


def test_signed_pixels_are_normalised_as_unsigned_ones(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    graph = read_graph(weights / f"{PASCAL}.tflite")
    unsigned = checkpoint_of(weights / f"{PASCAL}.tflite").model.arguments
    image = replace(graph.image, signed=True, zero_point=graph.image.zero_point - 128)
    monkeypatch.setattr(tflite, "read_graph", lambda path: replace(graph, image=image))
    signed = checkpoint_of(weights / f"{PASCAL}.tflite").model.arguments
    assert (signed["image_mean"], signed["image_std"]) == (unsigned["image_mean"], unsigned["image_std"])


@pytest.mark.parametrize("multiplier", [0.35, 0.5, 0.75, 1.0, 1.3, 1.4])
def test_the_width_is_told_where_the_stem_is_rounded(multiplier: float) -> None:
    backbone = create_backbone("mobilenetv2", depth_multiplier=multiplier, output_stride=32)
    encoder = [
        Convolution(
            *(facts.kind, (0,), (0,)),
            weight=np.zeros(facts.weight, np.float32),
            bias=np.zeros(facts.weight[0], np.float32),
            stride=facts.stride,
            dilation=facts.dilation,
            padding="same",
            activation="none",
        )
        for _, _, facts in tflite._layers(backbone)
    ]
    arguments = tflite._backbone_arguments(encoder)
    assert (arguments["depth_multiplier"], arguments["output_stride"]) == (multiplier, 32)


def test_folded_norms_only_add_their_bias(weights: Path) -> None:
    for module in checkpoint_of(weights / f"{PASCAL}.tflite").model.modules():
        if isinstance(module, BatchNorm):
            zeros = module(torch.zeros(1, module.num_features, 1, 1)).ravel()
            ones = module(torch.ones(1, module.num_features, 1, 1)).ravel()
            torch.testing.assert_close(zeros, module.bias)
            torch.testing.assert_close(ones, module.bias + 1)


def test_a_converted_model_survives_saving(weights: Path, tmp_path: Path) -> None:
    converted = checkpoint_of(weights / f"{PASCAL_HALF_WIDTH}.tflite")
    save(tmp_path / "model.safetensors", converted)
    image = np.random.default_rng(0).integers(256, size=(65, 49, 3), dtype=np.uint8)
    np.testing.assert_array_equal(predict(load(tmp_path / "model.safetensors"), image)[0], predict(converted, image)[0])


def test_imagenet_backbone_fits_ours_at_any_stride(weights: Path) -> None:
    converted = convert_backbone(weights / f"{IMAGENET}.tflite").model.backbone
    backbone = create_backbone("mobilenetv2", output_stride=8)
    backbone.load_state_dict(converted.state_dict())
    assert converted(torch.zeros(1, 3, 224, 224)).res5.shape == (1, 320, 7, 7)


@torch.no_grad()
def test_imagenet_features_show_the_graph_s_own_classifier_a_uniform(weights: Path) -> None:
    file = weights / f"{IMAGENET}.tflite"
    photo = Image.open(weights / "images" / "grace_hopper.png").convert("RGB").resize((224, 224))
    image = torch.from_numpy(np.array(photo)).permute(2, 0, 1).unsqueeze(0) / 127.5 - 1
    x = convert_backbone(file).model.backbone(image).res5
    *_, last, classifier = (operator for operator in read_graph(file).operators if isinstance(operator, Convolution))
    x = F.relu6(F.conv2d(x, torch.from_numpy(last.weight), torch.from_numpy(last.bias))).mean(dim=(2, 3), keepdim=True)
    scores = F.conv2d(x, torch.from_numpy(classifier.weight), torch.from_numpy(classifier.bias)).ravel()
    names = (weights / "imagenet_labels.txt").read_text().split("\n")
    assert names[int(scores.argmax())] == "military uniform"


def test_the_classifier_is_a_start_for_training(weights: Path) -> None:
    start = start_from(weights / f"{IMAGENET}.tflite", backbone="mobilenetv2")
    model = create_model("deeplabv3plus", backbone="mobilenetv2", num_classes=2, padding="same")
    done = transfer(model, start)
    assert {"backbone.stem.conv.weight", "prepare.mean"} <= {*done.copied}
    assert not any(name.startswith("backbone.") for name in done.left)
    assert start_from(weights / f"{PASCAL}.tflite", backbone="mobilenetv2").model.entry == "deeplabv3"


def test_each_converter_refuses_the_other_kind(weights: Path) -> None:
    with pytest.raises(CheckpointError, match=IMAGENET):
        convert(weights / f"{IMAGENET}.tflite")
    with pytest.raises(CheckpointError, match=PASCAL):
        convert_backbone(weights / f"{PASCAL}.tflite")


@pytest.mark.parametrize(
    ("number", "change", "message"),
    [
        (4, {"stride": (1, 1)}, r"stride is \(1, 1\), wanted \(2, 2\)"),
        (51, {"dilation": (4, 4)}, r"dilation is \(4, 4\), wanted \(2, 2\)"),
        (24, {"activation": "relu"}, "activation is relu, wanted relu6"),
        (9, {"inputs": (0, 0)}, "shortcut is False, wanted True"),
        (69, {"align_corners": False}, "does not align corners"),
        (66, {"inputs": (173, 177)}, "wanted image pooling and 1 x 1 joined"),
    ],
)
def test_a_network_that_differs_in_one_operator_is_refused(
    weights: Path, monkeypatch: pytest.MonkeyPatch, number: int, change: dict[str, Any], message: str
) -> None:
    graph = read_graph(weights / f"{PASCAL}.tflite")
    operators = list(graph.operators)
    operators[number] = replace(operators[number], **change)
    monkeypatch.setattr(tflite, "read_graph", lambda path: replace(graph, operators=tuple(operators)))
    with pytest.raises(CheckpointError, match=message):
        convert(weights / f"{PASCAL}.tflite")


@pytest.mark.parametrize("share", [0.001, 0.1, 0.5, 0.9, 0.999])
def test_a_file_cut_short_is_refused_by_name(weights: Path, tmp_path: Path, share: float) -> None:
    data = (weights / f"{PASCAL_HALF_WIDTH}.tflite").read_bytes()
    file = tmp_path / "short.tflite"
    file.write_bytes(data[: int(share * len(data))])
    with pytest.raises(CheckpointError, match=r"short\.tflite"):
        convert(file)
