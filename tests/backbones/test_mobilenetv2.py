from __future__ import annotations

import pytest
import torch

from deeplab.backbones import create_backbone
from deeplab.backbones.mobilenetv2 import make_divisible


def test_low_level_features_are_the_official_depthwise_outputs():
    assert create_backbone("mobilenetv2").channels == (144, 192, 576, 320)


def test_width_one_half_of_the_official_file_has_divisor_one():
    backbone = create_backbone("mobilenetv2", depth_multiplier=0.5, divisible_by=1)
    widths = [block.project.conv.out_channels for block in backbone.blocks]
    assert backbone.stem.conv.out_channels == 16
    assert sorted(set(widths)) == [8, 12, 16, 32, 48, 80, 160]


@pytest.mark.parametrize(("channels", "rounded"), [(16, 16), (12, 16), (48 * 0.35, 16), (24 * 0.75, 24), (11, 16)])
def test_channels_round_to_the_divisor_but_never_lose_a_tenth(channels, rounded):
    # 18 would round to 16, more than 10 % below: 24
    assert make_divisible(channels, 8) == rounded


def test_batchnorm_is_slim_s():
    norm = create_backbone("mobilenetv2").stem.norm
    assert (norm.eps, norm.momentum) == (1e-3, 3e-3)


def test_batchnorm_can_be_that_of_the_ports():
    norms = [module for module in create_backbone("mobilenetv2", norm_eps=1e-5).modules() if hasattr(module, "eps")]
    assert {norm.eps for norm in norms} == {1e-5}


@torch.inference_mode()
def test_features_can_be_the_outputs_of_the_blocks():
    backbone = create_backbone("mobilenetv2", detail="output").eval()
    features = backbone(torch.rand(1, 3, 33, 33))
    assert tuple(feature.shape[1] for feature in features) == backbone.channels == (24, 32, 96, 320)


@torch.inference_mode()
def test_the_last_1_x_1_can_be_kept():
    backbone = create_backbone("mobilenetv2", last_channels=1280).eval()
    assert backbone(torch.rand(1, 3, 33, 33)).res5.shape[1] == backbone.channels.res5 == 1280
    # torchvision's count, less its classifier: 1280 x 1000 + 1000
    assert sum(p.numel() for p in backbone.parameters()) == 3_504_872 - 1_281_000


@pytest.mark.parametrize(("output_stride", "ours", "theirs"), [(16, [1, 1, 2], [1, 2, 2]), (8, [2, 2, 4], [2, 4, 4])])
def test_the_block_that_would_stride_can_be_dilated_as_well(output_stride, ours, theirs):
    for dilate_first, dilations in ((False, ours), (True, theirs)):
        blocks = create_backbone("mobilenetv2", output_stride=output_stride, dilate_first=dilate_first).blocks
        assert [block.depthwise.conv.dilation[0] for block in blocks[12:15]] == dilations


@torch.inference_mode()
def test_zeros_around_the_input_of_a_block_are_expanded_as_the_rest():
    torch.manual_seed(0)
    outside, inside = (create_backbone("mobilenetv2", pad_block_input=each).eval().blocks[1] for each in (True, False))
    outside.expand.norm.bias.fill_(1.0)
    inside.load_state_dict(outside.state_dict())
    zeros = torch.zeros(1, 16, 8, 8)
    flat, edged = outside(zeros)[1], inside(zeros)[1]
    assert flat.shape == edged.shape == (1, 96, 4, 4)
    torch.testing.assert_close(flat, flat[..., 1:2, 1:2].expand_as(flat))
    torch.testing.assert_close(flat[..., 1:, 1:], edged[..., 1:, 1:])
    assert not torch.allclose(flat[..., 0, 0], edged[..., 0, 0])


@pytest.mark.parametrize(("size", "first"), [((1, 2), (1, 1)), ((65, 64), (32, 31))])
@torch.inference_mode()
def test_without_padding_of_the_image_any_size_works(size, first):
    backbone = create_backbone("mobilenetv2", pad_image=False, detail="output").eval()
    features = backbone(torch.rand(1, 3, *size))
    assert features.res2.shape[-2:] == tuple(-(-length // 2) for length in first)


@pytest.mark.parametrize(
    ("stage_dilation", "dilations"),
    [
        ("block", [*[1] * 7, *[2] * 6, 2, 4, 4, 4]),
        ("before", [*[1] * 10, *[2] * 6, 4]),
        ("first", [*[1] * 6, 2, 1, 1, 1, 2, 1, 1, 4, 1, 1, 4]),
    ],
)
def test_ports_dilate_other_blocks_of_a_stage(stage_dilation, dilations):
    backbone = create_backbone("mobilenetv2", output_stride=8, stage_dilation=stage_dilation)
    assert [block.depthwise.conv.dilation[0] for block in backbone.blocks] == dilations
