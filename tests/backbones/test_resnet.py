from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import torch

from deeplab.backbones import create_backbone
from deeplab.errors import SettingsError


@pytest.mark.parametrize(
    ("name", "parameters"),
    # torchvision's counts, less the classifier: 512 or 2048 x 1000 + 1000
    [
        ("resnet18", 11_689_512 - 513_000),
        ("resnet34", 21_797_672 - 513_000),
        ("resnet50", 25_557_032 - 2_049_000),
        ("resnet101", 44_549_160 - 2_049_000),
        ("resnet152", 60_192_808 - 2_049_000),
    ],
)
def test_parameters_are_torchvision_s_without_the_classifier(name, parameters):
    assert sum(p.numel() for p in create_backbone(name).parameters()) == parameters


def test_multi_grid_multiplies_the_rates_of_the_last_stage():
    backbone = create_backbone("resnet50", output_stride=8, multi_grid=(1, 2, 4))
    assert [unit.conv2.conv.dilation[0] for unit in backbone.res5] == [2, 8, 16]


def test_the_second_convolution_of_a_basic_unit_can_stay_undilated():
    backbone = create_backbone("resnet18", output_stride=8, dilate_second=False)
    units = [*backbone.res4, *backbone.res5]
    assert [unit.conv1.conv.dilation[0] for unit in units] == [1, 2, 2, 4]
    assert [unit.conv2.conv.dilation[0] for unit in units] == [1, 1, 1, 1]
    with pytest.raises(SettingsError, match="take resnet18"):
        create_backbone("resnet50", dilate_second=False)


def test_a_multi_grid_of_another_length_is_refused():
    with pytest.raises(SettingsError, match="3 units"):
        create_backbone("resnet50", multi_grid=(1, 2))


def test_same_padding_is_the_pooling_s_and_moves_even_sizes_only():
    torch.manual_seed(0)
    symmetric, same = (create_backbone("resnet18", padding=rule).eval() for rule in ("symmetric", "same"))
    same.load_state_dict(symmetric.state_dict())
    with torch.inference_mode():
        odd, even = torch.rand(1, 3, 65, 65), torch.rand(1, 3, 64, 64)
        torch.testing.assert_close(symmetric(odd).res5, same(odd).res5)
        assert not torch.allclose(symmetric(even).res5, same(even).res5)


@pytest.mark.parametrize(("stride_in", "strides"), [("1x1", (2, 1)), ("3x3", (1, 2))])
def test_the_stride_can_be_in_either_convolution(stride_in, strides):
    backbone = create_backbone("resnet50", stride_in=stride_in, output_stride=32)
    first = backbone.res3[0]
    assert (first.conv1.conv.stride[0], first.conv2.conv.stride[0]) == strides


@torch.inference_mode()
def test_with_the_stride_in_the_first_convolution_a_finer_output_stride_only_adds_samples():
    torch.manual_seed(0)
    coarse, fine = (create_backbone("resnet50", stride_in="1x1", output_stride=each).eval() for each in (32, 8))
    fine.load_state_dict(coarse.state_dict())
    image = torch.rand(1, 3, 65, 65)
    few, many = coarse(image).res5, fine(image).res5
    torch.testing.assert_close(many[..., ::4, ::4] / few.std(), few / few.std(), atol=1e-3, rtol=1e-3)


BETA = {"stride_unit": "last", "detail": "before_add", "stem_channels": (64, 64, 128), "padding": "same"}


@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
@pytest.mark.parametrize(("fine", "coarse"), [(4, 8), (8, 16), (16, 32)])
@torch.inference_mode()
def test_with_the_stride_in_the_last_unit_a_finer_output_stride_only_adds_samples(name, fine, coarse):
    torch.manual_seed(0)
    networks = [create_backbone(name, output_stride=stride, **BETA).eval() for stride in (coarse, fine)]
    networks[1].load_state_dict(networks[0].state_dict())
    strides = [stage[unit].conv2.conv.stride[0] for stage in list(networks[0].children())[2:] for unit in (0, -1)]
    assert strides == [1, 2, 1, 2 if coarse > 8 else 1, 1, 2 if coarse > 16 else 1, 1, 1]
    image = torch.rand(1, 3, 65, 33)
    for few, many in zip(*(network(image) for network in networks), strict=True):
        step = (many.shape[-1] - 1) // (few.shape[-1] - 1)
        torch.testing.assert_close(many[..., ::step, ::step] / few.std(), few / few.std(), atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
@torch.inference_mode()
def test_features_before_the_addition_give_the_unit_s_output(name):
    torch.manual_seed(0)
    before, output = (create_backbone(name, **{**BETA, "detail": detail}).eval() for detail in ("before_add", "output"))
    output.load_state_dict(before.state_dict())
    image = torch.rand(1, 3, 33, 33)
    residual, out = before(image).res2, output(image).res2
    assert residual.min() < 0 <= out.min()
    assert residual.shape == out.shape == (1, before.channels.res2, 9, 9)
    torch.testing.assert_close(before(image).res5, output(image).res5)


def test_without_a_1_x_1_the_stride_cannot_be_in_it():
    with pytest.raises(SettingsError, match="stride_in is 1x1"):
        create_backbone("resnet18", stride_in="1x1")


def ours(name):
    """The tensor in our ResNet that a variable of the official code fills."""
    name = re.sub(r"^resnet_v1_\d+/", "", name)
    name = re.sub(r"conv1_(\d)(?=/)", lambda found: f"stem.{int(found[1]) - 1}", name)
    name = re.sub(
        r"block(\d)/unit_(\d+)/bottleneck_v1", lambda found: f"res{int(found[1]) + 1}.{int(found[2]) - 1}", name
    )
    parts = {"weights": "conv.weight", "gamma": "norm.weight", "beta": "norm.bias"}
    parts |= {"moving_mean": "norm.running_mean", "moving_variance": "norm.running_var"}
    place, _, part = name.replace("/BatchNorm", "").rpartition("/")
    return f"{place.replace('/', '.')}.{parts[part]}"


@pytest.fixture(scope="module")
def official(golden_variables):
    variables = golden_variables("tf_deeplab/resnet101beta_v3plus")
    tensors = {name: torch.from_numpy(value) for name, value in variables.items() if name.startswith("resnet")}
    return {ours(name): value.permute(3, 2, 0, 1) if value.ndim == 4 else value for name, value in tensors.items()}


@pytest.mark.parametrize(("run", "output_stride"), [("os16_129x97", 16), ("os8_129x97", 8)])
@torch.inference_mode()
def test_features_of_the_beta_network_are_those_of_the_official_code(golden_module, official, run, output_stride):
    case = "tf_deeplab/resnet101beta_v3plus"
    backbone = create_backbone("resnet101", output_stride=output_stride, multi_grid=(1, 2, 4), **BETA).eval()
    backbone.load_state_dict(official)
    recorded = golden_module.run(case, run)
    image = torch.from_numpy(recorded["image"]).permute(2, 0, 1)[None] / 127.5 - 1
    features = backbone(image)
    deepest = features.res5.permute(0, 2, 3, 1).numpy()
    assert golden_module.close(deepest[..., :8], recorded, "backbone_features_first8") < 2e-4
    assert golden_module.close(deepest.mean(axis=(0, 1, 2)), recorded, "backbone_features_channel_mean") < 2e-4
    layers = json.loads(Path(golden_module.ROOT, case, f"{run}.layers.json").read_text())
    statistics = {name: (mean, std) for name, _, mean, std in layers}
    for feature, unit in zip(features, ("block1/unit_2", "block2/unit_3", "block3/unit_22"), strict=False):
        mean, std = statistics[f"resnet_v1_101/{unit}/bottleneck_v1/conv3/BatchNorm/FusedBatchNormV3"]
        assert feature.mean().item() == pytest.approx(mean, abs=2e-4 * std)
        assert feature.std(correction=0).item() == pytest.approx(std, rel=2e-4)


def test_the_first_unit_can_be_dilated_as_well():
    ours, theirs = (create_backbone("resnet50", output_stride=16, dilate_first=each) for each in (False, True))
    assert [unit.conv2.conv.dilation[0] for unit in ours.res5] == [1, 2, 2]
    assert [unit.conv2.conv.dilation[0] for unit in theirs.res5] == [2, 2, 2]


def test_a_stem_of_several_widths_is_as_many_3_x_3():
    stem = create_backbone("resnet18", stem_channels=(64, 64, 128)).stem
    convolutions = [module for module in stem.modules() if isinstance(module, torch.nn.Conv2d)]
    assert [conv.kernel_size for conv in convolutions] == [(3, 3)] * 3
    assert [conv.stride for conv in convolutions] == [(2, 2), (1, 1), (1, 1)]
    assert convolutions[-1].out_channels == 128
    with pytest.raises(SettingsError, match="at least one number"):
        create_backbone("resnet18", stem_channels=())
