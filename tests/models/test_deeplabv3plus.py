from __future__ import annotations

import pytest
import torch
from torch import nn

from deeplab.errors import SettingsError
from deeplab.layers import PaddedConv
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


@torch.inference_mode()
def test_the_decoder_can_take_several_steps():
    model = create_model("deeplabv3plus", backbone="resnet18", num_classes=2, decoder_strides=(16, 8, 4)).eval()
    assert [step.reduce.conv.in_channels for step in model.decoder] == [256, 128, 64]  # res4, res3, res2
    assert model.coarse_logits(torch.rand(1, 3, 65, 97)).shape == (1, 2, 17, 25)


@torch.inference_mode()
def test_a_sum_adds_the_reduced_features_to_one_convolution():
    model = create_model("deeplabv3plus", backbone="resnet18", decoder_merge="sum", decoder_channels=8).eval()
    (step,) = model.decoder
    x, detail = torch.rand(1, 256, 17, 17), torch.rand(1, 8, 17, 17)
    torch.testing.assert_close(step.join(x, detail, resize=lambda x: x), step.decode(x) + detail)
    assert step.reduce.conv.out_channels == 8


@torch.inference_mode()
def test_the_form_of_the_official_mobilenetv3_models():
    model = create_model(
        "deeplabv3plus",
        backbone="mobilenetv3_small_seg",
        num_classes=19,
        output_stride=32,
        atrous_rates=(),
        aspp_channels=128,
        aspp_project=False,
        squeeze_excite="hard_sigmoid",
        decoder_strides=(8,),
        decoder_merge="sum",
        decoder_logits=True,
    ).eval()
    assert model.coarse_logits(torch.rand(1, 3, 65, 97)).shape == (1, 19, 9, 13)
    assert sum(parameter.numel() for parameter in model.parameters()) == 468_830  # counted in the official graph


@torch.inference_mode()
def test_a_dense_prediction_cell_is_activated_and_normalised_as_the_rest_of_the_head():
    model = create_model(
        "deeplabv3plus", dense_prediction_cell="cityscapes", bounded_activation=True, norm_between=False
    ).eval()
    assert {type(module) for module in model.aspp.modules()} & {nn.ReLU, nn.ReLU6} == {nn.ReLU6}
    assert all(isinstance(branch.depthwise, PaddedConv) for branch in model.aspp.branches)
    assert model(torch.rand(1, 3, 33, 40)).shape == (1, 21, 33, 40)


def test_a_dense_prediction_cell_takes_the_place_of_aspp():
    model = create_model("deeplabv3plus", num_classes=2, output_stride=8, dense_prediction_cell="cityscapes")
    assert model.aspp.branches[1].depthwise.conv.dilation == (36, 30)
    own = [{"op": "conv", "kernel": 1, "input": -1}]
    assert len(create_model("deeplabv3plus", dense_prediction_cell=own).aspp.branches) == 1


def test_bounded_activations_are_relu6_in_the_head():
    model = create_model("deeplabv3plus", backbone="resnet18", bounded_activation=True)
    kinds = {type(module) for part in (model.aspp.atrous, model.decoder) for module in part.modules()}
    assert torch.nn.ReLU6 in kinds
    assert torch.nn.ReLU not in kinds


@pytest.mark.parametrize(
    "options, words",
    [
        ({"decoder_strides": ()}, "at least one of 16, 8 and 4"),
        ({"decoder_strides": (2,)}, "at least one of 16, 8 and 4"),
        ({"decoder_logits": True}, "wants decoder_merge 'sum'"),
        ({"dense_prediction_cell": "voc"}, "dense_prediction_cell wants cityscapes or mappings"),
        ({"dense_prediction_cell": "cityscapes", "atrous_rates": (6, 12)}, "atrous_rates is an option of ASPP"),
        ({"decoder_strides": 4}, "decoder_strides wants whole numbers, as a list"),
    ],
)
def test_values_that_cannot_work_are_refused(options, words):
    with pytest.raises(SettingsError, match=words):
        create_model("deeplabv3plus", **options)
