from __future__ import annotations

import pytest
import torch

from deeplab.errors import SettingsError
from deeplab.models import create_model


@torch.inference_mode()
def test_the_logits_are_the_sum_over_the_rates():
    torch.manual_seed(0)
    model = create_model("deeplabv2", backbone="resnet18", output_stride=8, num_classes=2).eval()
    assert [layer.dilation[0] for layer in model.classify] == [6, 12, 18, 24]
    image = torch.rand(1, 3, 33, 33)
    features = model.backbone(model.prepare(image)).res5
    torch.testing.assert_close(model.coarse_logits(image), sum(layer(features) for layer in model.classify))


def test_the_kernel_can_be_that_of_the_official_code():
    # `logits_kernel_size` is 1 there unless told otherwise: a sum of 1 x 1, whatever their rates
    model = create_model("deeplabv2", backbone="resnet18", kernel_size=1, num_classes=2)
    assert [tuple(layer.weight.shape) for layer in model.classify] == [(2, 512, 1, 1)] * 4
    with pytest.raises(SettingsError, match="kernel_size wants an odd number of at least 1, got 2"):
        create_model("deeplabv2", kernel_size=2)


def test_the_form_for_vgg_has_fc6_fc7_and_fc8_in_every_branch():
    with torch.device("meta"):
        model = create_model("deeplabv2", backbone="vgg16", output_stride=8, hidden_channels=1024)
    assert len(model.branches) == len(model.classify) == 4
    fc6, fc7, fc8 = model.branches[1][0], model.branches[1][3], model.classify[1]
    assert (fc6.kernel_size, fc6.dilation, fc6.out_channels) == ((3, 3), (12, 12), 1024)
    assert (fc7.kernel_size, fc8.kernel_size, fc8.out_channels) == ((1, 1), (1, 1), 21)


@pytest.mark.parametrize("rates", [(), (0,)])
def test_rates_that_cannot_work_are_refused(rates):
    with pytest.raises(SettingsError, match="at least one"):
        create_model("deeplabv2", atrous_rates=rates)
