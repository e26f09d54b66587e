from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from deeplab.errors import CheckpointError, DataError, InputNotFoundError
from deeplab.models import create_model
from deeplab.weights import compare, huggingface, smp, torchvision
from deeplab.weights._comparison import LIMIT, pairs
from deeplab.weights._source import Source

SMALL = {"backbone": "mobilenetv2", "depth_multiplier": 0.25, "aspp_channels": 8, "atrous_rates": ()}


class Theirs(nn.Module):
    """A system whose layers are called as ours; it wants normalised images and gives logits at the head's stride."""

    def __init__(self, num_classes):
        super().__init__()
        model = create_model("deeplabv3", num_classes=num_classes, **SMALL)
        self.backbone, self.aspp, self.classify = model.backbone, model.aspp, model.classify

    def forward(self, image):
        return {"out": self.classify(self.aspp(self.backbone(image).res5)), "aux": image}


SOURCE = Source(
    title="a system of this test",
    rules=((r"", ""),),
    network=lambda tensors: {"name": "deeplabv3", **SMALL},
    original=lambda tensors, model: Theirs(len(tensors["classify.bias"])),
)


def randomised(network):
    """With weights of a trained network's size and BatchNorm statistics that are not 0 and 1."""
    generator = torch.Generator().manual_seed(1)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor, low, high in (
                (module.running_mean, -0.2, 0.2),
                (module.running_var, 0.5, 1.5),
                (module.weight.data, 0.5, 1.5),
                (module.bias.data, -0.2, 0.2),
            ):
                tensor.uniform_(low, high, generator=generator)
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, generator=generator)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    return network.eval()


@pytest.fixture(scope="module")
def theirs():
    return randomised(Theirs(num_classes=3))


@pytest.fixture
def conversion(theirs):
    return SOURCE.from_tensors(theirs.state_dict(), what="theirs.pth")


def picture():
    return torch.randn(1, 3, 65, 81, generator=torch.Generator().manual_seed(2))


@pytest.fixture
def golden(theirs, tmp_path):
    """`golden(...)`: a file of these arrays, over an input and its logits."""

    def write(**arrays):
        x = picture()
        with torch.inference_mode():
            recorded = {"input": x.numpy(), "logits": theirs(x)["out"].numpy(), **arrays}
        path = tmp_path / "golden.npz"
        np.savez(path, **{name: array for name, array in recorded.items() if array is not None})
        return path

    return write


def test_layers_and_blocks_are_paired_by_their_tensors():
    placed = {
        "layer1.0.conv1.weight": "backbone.res2.0.conv1.conv.weight",
        "layer1.0.bn1.weight": "backbone.res2.0.conv1.norm.weight",
        "layer1.0.conv2.weight": "backbone.res2.0.conv2.conv.weight",
        "aspp0/weights": "aspp.pointwise.conv.weight",
        "aspp0/BatchNorm/beta": "aspp.pointwise.norm.bias",
        "head.0.weight": "refine.conv.weight",
        "head.1.weight": "classify.weight",
    }
    assert pairs(placed) == {
        "layer1": "backbone.res2.0",
        "layer1.0": "backbone.res2.0",
        "layer1.0.conv1": "backbone.res2.0.conv1.conv",
        "layer1.0.bn1": "backbone.res2.0.conv1.norm",
        "layer1.0.conv2": "backbone.res2.0.conv2.conv",
        "aspp0": "aspp.pointwise",
        "aspp0/BatchNorm": "aspp.pointwise.norm",
        "head.0": "refine.conv",
        "head.1": "classify",
    }  # and not "head", which became parts of two


def test_every_layer_and_the_logits_are_those_of_the_network_itself(conversion):
    comparison = compare(conversion)
    assert len(comparison.layers) == sum(isinstance(m, (nn.Conv2d, nn.BatchNorm2d)) for m in Theirs(3).modules())
    assert [comparison.layers[0].ours, comparison.layers[-1].ours] == ["backbone.stem.conv", "classify"]
    assert max(layer.difference for layer in comparison.layers) < LIMIT
    assert comparison.logits < LIMIT
    assert comparison.equal_labels == 1
    comparison.check("theirs.pth")


def test_the_first_layer_that_differs_is_named(conversion):
    with torch.no_grad():
        conversion.checkpoint.model.backbone.blocks[3].expand.conv.weight.mul_(1.01)
    comparison = compare(conversion)
    assert not comparison.holds
    with pytest.raises(CheckpointError, match=r"differs is backbone\.blocks\.3\.expand\.conv -> .*nothing is written"):
        comparison.check("theirs.pth")


def test_a_model_that_gives_no_numbers_does_not_hold(conversion):
    with torch.no_grad():
        conversion.checkpoint.model.classify.bias.fill_(float("nan"))
    assert not compare(conversion).holds


def test_the_model_keeps_its_normalisation(conversion):
    before = conversion.checkpoint.model.prepare
    compare(conversion)
    assert conversion.checkpoint.model.prepare is before


def test_a_system_that_is_not_installed_or_has_another_network_is_not_compared(theirs):
    def missing(tensors, model):
        raise ImportError

    for original in (None, missing, lambda tensors, model: None, lambda tensors, model: Theirs(num_classes=5)):
        other = replace(SOURCE, original=original).from_tensors(theirs.state_dict(), what="theirs.pth")
        assert compare(other) is None


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (0, 2, 3, 1)])
@pytest.mark.parametrize("full_size", [False, True])
def test_golden_logits_are_told_by_their_shape(conversion, theirs, golden, order, full_size):
    path = golden()
    if full_size:
        with torch.inference_mode():
            logits = theirs(torch.from_numpy(np.load(path)["input"]))["out"]
        logits = nn.functional.interpolate(logits, (65, 81), mode="bilinear", align_corners=True)
    else:
        logits = torch.from_numpy(np.load(path)["logits"])
    comparison = compare(conversion, golden=golden(logits=logits.permute(*order).numpy()))
    assert comparison.logits < LIMIT
    assert comparison.equal_labels == 1


def test_a_golden_image_is_normalised_by_our_model(conversion, theirs, golden, make_image):
    image = make_image(50, 81)  # padded to 65 x 81
    prepare = conversion.checkpoint.model.prepare
    with torch.inference_mode():
        logits = theirs(prepare(torch.from_numpy(image).permute(2, 0, 1)[None] / 255))["out"]
    assert compare(conversion, golden=golden(input=None, image=image, logits=logits.numpy())).logits < LIMIT


def test_golden_layers_are_compared_blocks_too(conversion, theirs, golden):
    x = torch.from_numpy(np.load(golden())["input"])
    with torch.inference_mode():
        stem, aspp = theirs.backbone.stem(x), theirs.aspp(theirs.backbone(x).res5)
    arrays = {"aspp": aspp.permute(0, 2, 3, 1).numpy() * 2, "backbone.stem": stem.numpy()}
    one, two = compare(conversion, golden=golden(**arrays)).layers
    assert one.ours == "backbone.stem"
    assert one.difference < LIMIT
    assert two.ours == "aspp"
    assert two.difference > 0.1


@pytest.mark.parametrize(
    ("arrays", "problem"),
    [
        ({"logits": None}, "wanted 'logits' and one of 'input' and 'image', got input"),
        ({"image": np.zeros((9, 9, 3), np.uint8)}, "one of 'input' and 'image'"),
        ({"input": np.zeros((3, 9, 9), np.float32)}, r"input wants float \(N, 3, H, W\), got float32 \(3, 9, 9\)"),
        ({"input": np.zeros((1, 3, 9, 9), np.uint8)}, "input wants float"),
        ({"input": None, "image": np.zeros((9, 9, 3), np.float32)}, "image wants uint8"),
        ({"logits": np.zeros((1, 4, 5, 6), np.float32)}, r"logits there is \(1, 4, 5, 6\), here \(1, 3, 5, 6\)"),
        ({"logits": np.zeros(5, np.float32)}, "logits there is"),
        ({"backbone.stem": np.zeros((1, 8, 2, 2), np.float32)}, r"backbone\.stem there is \(1, 8, 2, 2\)"),
        ({"backbone": np.zeros((1, 8, 2, 2), np.float32)}, "'backbone' has not one output here"),
        ({"labels": np.zeros((65, 81), np.uint8)}, "'labels' is no layer of the checkpoint"),
        ({"input": np.array([None])}, "no complete .npz of arrays"),
        ({"input": np.array(["a"])}, "no complete .npz of arrays"),
    ],
)
def test_a_golden_file_that_cannot_be_used_is_said_in_a_line(conversion, golden, arrays, problem):
    with pytest.raises(DataError, match=rf"golden\.npz: .*{problem}") as caught:
        compare(conversion, golden=golden(**arrays))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"not a file of arrays", b"PK\x03\x04cut off"])
def test_a_damaged_golden_file_is_said_in_a_line(conversion, tmp_path, content):
    (tmp_path / "golden.npz").write_bytes(content)
    with pytest.raises(DataError, match=r"golden\.npz: no complete \.npz of arrays") as caught:
        compare(conversion, golden=tmp_path / "golden.npz")
    assert "\n" not in str(caught.value)


def test_a_golden_file_that_is_not_there_is_said(conversion, tmp_path):
    with pytest.raises(InputNotFoundError, match=r"no file .*gone\.npz"):
        compare(conversion, golden=tmp_path / "gone.npz")


def test_torchvision_itself_agrees(tmp_path):
    segmentation = pytest.importorskip("torchvision.models.segmentation")
    network = segmentation.deeplabv3_resnet50(weights=None, weights_backbone=None, num_classes=3, aux_loss=True)
    torch.save(randomised(network).state_dict(), tmp_path / "theirs.pth")
    conversion = torchvision.convert(tmp_path / "theirs.pth")
    comparison = compare(conversion)
    assert len(comparison.layers) == 121
    assert comparison.logits < LIMIT
    assert comparison.equal_labels == 1
    assert {name.partition(".")[0] for name in conversion.left} == {"aux_classifier"}


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (0, 2, 3, 1)])
def test_a_model_of_one_logit_is_compared_as_it_is(golden, order):
    theirs = randomised(Theirs(num_classes=1))
    conversion = SOURCE.from_tensors(theirs.state_dict(), what="theirs.pth")
    for comparison in (
        compare(conversion),
        compare(conversion, golden=golden(logits=theirs(picture())["out"].detach().permute(order).numpy())),
    ):
        assert comparison.logits < 1e-5
        assert comparison.equal_labels == 1
    assert "classify" in {layer.ours for layer in compare(conversion).layers}


def test_a_model_of_one_logit_that_differs_is_told():
    conversion = SOURCE.from_tensors(randomised(Theirs(num_classes=1)).state_dict(), what="theirs.pth")
    with torch.no_grad():
        conversion.checkpoint.model.classify.bias[1] += 10
    comparison = compare(conversion)
    assert not comparison.holds
    assert comparison.equal_labels < 1
    with pytest.raises(CheckpointError, match="the first layer that differs is classify -> classify"):
        comparison.check("theirs.pth")


@pytest.mark.parametrize("aux_loss", [False, True])
def test_torchvision_itself_agrees_on_one_logit(aux_loss):
    segmentation = pytest.importorskip("torchvision.models.segmentation")
    build = segmentation.deeplabv3_mobilenet_v3_large
    network = randomised(build(weights=None, weights_backbone=None, num_classes=1, aux_loss=aux_loss))
    conversion = torchvision.source.from_tensors(network.state_dict(), what="theirs.pth")
    comparison = compare(conversion)
    assert comparison.logits < LIMIT
    assert comparison.equal_labels == 1
    assert bool(conversion.left) == aux_loss


def test_torchvision_has_no_other_output_stride(tmp_path):
    segmentation = pytest.importorskip("torchvision.models.segmentation")
    network = segmentation.deeplabv3_resnet50(weights=None, weights_backbone=None, num_classes=3)
    converted = torchvision.source.from_tensors(network.state_dict(), what="theirs.pth", output_stride=16)
    assert compare(converted) is None


@pytest.mark.parametrize("num_classes", [1, 3])
def test_segmentation_models_pytorch_itself_agrees(num_classes):
    library = pytest.importorskip("segmentation_models_pytorch")
    network = library.DeepLabV3Plus("resnet18", encoder_weights=None, classes=num_classes)
    comparison = compare(smp.source.from_tensors(randomised(network).state_dict(), what="theirs.pth"))
    assert comparison.logits < LIMIT
    assert comparison.equal_labels == 1


@pytest.mark.parametrize("num_classes", [1, 3])
def test_hugging_face_itself_agrees(num_classes):
    library = pytest.importorskip("transformers")
    config = library.MobileNetV2Config(depth_multiplier=0.35, output_stride=16, num_labels=num_classes)
    network = library.MobileNetV2ForSemanticSegmentation(config)
    comparison = compare(huggingface.source.from_tensors(randomised(network).state_dict(), what="theirs.bin"))
    assert comparison.logits < LIMIT
    assert comparison.equal_labels == 1
