from __future__ import annotations

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


def test_a_multi_grid_of_another_length_is_refused():
    with pytest.raises(SettingsError, match="3 units"):
        create_backbone("resnet50", multi_grid=(1, 2))


def test_same_padding_moves_even_sizes_only():
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
