from __future__ import annotations

import pytest
import torch

from deeplab.errors import SettingsError
from deeplab.models import create_model


def test_the_decoder_reads_48_low_level_channels_and_works_at_stride_4():
    model = create_model("deeplabv3plus", backbone="resnet18", num_classes=5).eval()
    assert model.decoder[0].reduce.conv.out_channels == 48
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


def test_the_forms_of_other_systems_are_options():
    options = {"head_conv": True, "norm_between": False, "decoder_convs": 1, "pooling_norm": False}
    model = create_model("deeplabv3plus", num_classes=2, **options).eval()
    assert len(model.decoder[0].decode) == 1
    assert not any(
        isinstance(module, torch.nn.BatchNorm2d) for module in model.decoder[0].decode[0].depthwise.modules()
    )
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in model.aspp.image_pooling.modules())
    with torch.inference_mode():
        assert model(torch.rand(1, 3, 40, 40)).shape == (1, 2, 40, 40)


def test_a_decoder_without_convolutions_is_refused():
    with pytest.raises(SettingsError, match="decoder_convs wants"):
        create_model("deeplabv3plus", decoder_convs=0)


@torch.inference_mode()
def test_without_padding_to_the_grid_the_logits_are_of_the_image_alone():
    model = create_model("deeplabv3plus", num_classes=2, pad_to_grid=False).eval()
    assert model.grid_size((64, 96)) == (64, 96)
    assert model.coarse_logits(torch.rand(1, 3, 64, 96)).shape == (1, 2, 16, 24)
