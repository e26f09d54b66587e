from __future__ import annotations

import importlib.util

import pytest
import torch

from deeplab.backbones import create_backbone
from deeplab.backbones._base import atrous_plan
from deeplab.catalog import entries
from deeplab.errors import SettingsError, UnknownNameError

BACKBONES = list(entries("backbones"))

TIMM = ("resnet18", "mobilenetv3_small_100", "efficientnet_b0", "regnety_002", "resnetv2_50", "xception41")
"""Of each well-known kind one of the smallest."""

SQUEEZE_AND_EXCITATION = {"SqueezeExcitation": "expand", "SqueezeExcite": "conv_expand", "SEModule": "fc2"}
"""What the modules are called, here and in timm, and their last layer in them."""


def random_statistics(backbone):
    """BatchNorms that neither vanish nor explode, so that a difference anywhere would show."""
    generator = torch.Generator().manual_seed(1)
    for module in backbone.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.weight.data.uniform_(0.5, 1.5, generator=generator)
            module.bias.data.uniform_(-0.5, 0.5, generator=generator)
        if last := SQUEEZE_AND_EXCITATION.get(type(module).__name__):
            getattr(
                module, last
            ).weight.data.zero_()  # its means are over more samples at a finer stride: leave the bias alone
    return backbone.eval()


@torch.inference_mode()
def assert_the_finer_only_adds_samples(name, fine, coarse):
    torch.manual_seed(0)
    weights = random_statistics(create_backbone(name, output_stride=coarse))
    finer = create_backbone(name, output_stride=fine).eval()
    finer.load_state_dict(weights.state_dict())
    image = torch.rand(1, 3, 65, 33)  # k * 32 + 1
    for few, many in zip(weights(image), finer(image), strict=True):
        step = (many.shape[-1] - 1) // (few.shape[-1] - 1)
        scale = few.std()
        # the same sums in another order: float32 rounding through up to 100 layers
        torch.testing.assert_close(many[..., ::step, ::step] / scale, few / scale, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("name", BACKBONES)
@pytest.mark.parametrize(("fine", "coarse"), [(4, 8), (8, 16), (16, 32)])
def test_a_finer_output_stride_only_adds_samples(name, fine, coarse):
    assert_the_finer_only_adds_samples(name, fine, coarse)


@pytest.mark.skipif(importlib.util.find_spec("timm") is None, reason="needs timm, of the extra timm")
@pytest.mark.parametrize("name", TIMM)
@pytest.mark.parametrize(("fine", "coarse"), [(8, 16), (16, 32)])
def test_in_timm_s_well_known_encoders_a_finer_output_stride_only_adds_samples(name, fine, coarse):
    assert_the_finer_only_adds_samples(f"timm/{name}", fine, coarse)


@pytest.mark.parametrize("name", BACKBONES)
@pytest.mark.parametrize("output_stride", [4, 8, 16, 32])
@torch.inference_mode()
def test_features_have_the_promised_channels_and_strides(name, output_stride):
    backbone = create_backbone(name, in_channels=2, output_stride=output_stride).eval()
    features = backbone(torch.rand(1, 2, 70, 50))
    for feature, channels, stride in zip(features, backbone.channels, (4, 8, 16, 32), strict=True):
        stride = min(stride, output_stride)
        assert feature.shape == (1, channels, -(-70 // stride), -(-50 // stride))


@pytest.mark.parametrize("name", BACKBONES)
@torch.inference_mode()
def test_one_pixel_is_enough(name):
    assert create_backbone(name).eval()(torch.rand(1, 3, 1, 1)).res5.shape[-2:] == (1, 1)


@pytest.mark.parametrize("name", BACKBONES)
@torch.no_grad()
def test_every_parameter_is_in_one_stage_that_later_features_depend_on(name):
    torch.manual_seed(0)
    backbone = create_backbone(name).eval()
    stages = backbone.stages()
    assert list(stages) == ["stem", "res2", "res3", "res4", "res5"]
    assert all(stages[stage] for stage in ("stem", "res2", "res3", "res4"))  # VGG's res5 is a pooling
    grouped = [id(parameter) for parameters in stages.values() for parameter in parameters]
    assert sorted(grouped) == sorted(map(id, backbone.parameters()))
    image = torch.rand(1, 3, 33, 33)
    before = backbone(image)
    for parameter in stages["res4"]:
        parameter.mul_(1.1)
    same = [torch.equal(*pair) for pair in zip(before, backbone(image), strict=True)]
    assert same == [True, True, False, False]


@pytest.mark.parametrize("name", ["mobilenetv2", "resnet18"])
def test_the_stages_do_not_depend_on_the_output_stride(name):
    found = []
    for output_stride in (4, 32):
        backbone = create_backbone(name, in_channels=2, output_stride=output_stride)
        names = {id(parameter): name for name, parameter in backbone.named_parameters()}
        found.append({stage: [names[id(one)] for one in own] for stage, own in backbone.stages().items()})
    assert found[0] == found[1]


def test_the_stages_of_a_resnet_are_its_modules():
    backbone = create_backbone("resnet18", output_stride=8)
    for stage, parameters in backbone.stages().items():
        assert [*map(id, parameters)] == [*map(id, backbone.get_submodule(stage).parameters())]


def test_looking_for_the_stages_leaves_the_backbone_as_it_was():
    backbone = create_backbone("mobilenetv2")
    backbone.blocks[3].eval().requires_grad_(False)
    state = {name: tensor.clone() for name, tensor in backbone.state_dict().items()}
    backbone.stages()
    assert [module.training for module in backbone.blocks[2:5]] == [True, False, True]
    assert not any(parameter.requires_grad for parameter in backbone.blocks[3].parameters())
    assert not any(module._forward_hooks for module in backbone.modules())
    assert all(torch.equal(tensor, state[name]) for name, tensor in backbone.state_dict().items())


def test_the_block_that_would_stride_still_reads_the_undilated_grid():
    steps = list(atrous_plan([1, 2, 1, 2, 1], start=8, output_stride=8))
    assert {step.stride for step in steps} == {1}
    assert [step.dilation for step in steps] == [1, 1, 2, 2, 4]
    assert [step.dilation_after for step in steps] == [1, 2, 2, 4, 4]


def test_a_misspelt_backbone_names_the_nearest():
    with pytest.raises(UnknownNameError, match="did you mean resnet"):
        create_backbone("resnet51")


def test_an_odd_output_stride_names_the_possible_ones():
    with pytest.raises(SettingsError, match="4, 8, 16, 32"):
        create_backbone("resnet18", output_stride=12)


def test_an_option_of_another_backbone_is_refused():
    with pytest.raises(SettingsError, match="depth_multiplier"):
        create_backbone("resnet18", depth_multiplier=0.5)
