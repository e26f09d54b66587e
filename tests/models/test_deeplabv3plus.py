from __future__ import annotations

import torch

from deeplab.models import create_model


def test_the_decoder_reads_48_low_level_channels_and_works_at_stride_4():
    model = create_model("deeplabv3plus", backbone="resnet18", num_classes=5).eval()
    assert model.reduce.conv.out_channels == 48
    with torch.inference_mode():
        assert model.coarse_logits(torch.rand(1, 3, 65, 97)).shape == (1, 5, 17, 25)


def test_the_atrous_branches_are_separable_unless_told_otherwise():
    def branch(**options):
        return type(create_model("deeplabv3plus", **options).aspp.atrous[0]).__name__

    assert branch() == "SeparableConv"
    assert branch(aspp_separable=False) == "ConvNormAct"


def test_rates_follow_the_output_stride():
    model = create_model("deeplabv3plus", output_stride=8)
    assert [branch.depthwise.conv.dilation[0] for branch in model.aspp.atrous] == [12, 24, 36]
