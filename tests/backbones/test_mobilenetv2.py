from __future__ import annotations

import pytest

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
