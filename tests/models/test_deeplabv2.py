from __future__ import annotations

import pytest
import torch

from deeplab.errors import SettingsError
from deeplab.layers import rescale, resize
from deeplab.models import create_model


@torch.inference_mode()
def test_the_logits_are_the_sum_over_the_rates():
    torch.manual_seed(0)
    model = create_model("deeplabv2", backbone="resnet18", output_stride=8, num_classes=2).eval()
    assert [layer.dilation[0] for layer in model.classify] == [6, 12, 18, 24]
    image = torch.rand(1, 3, 33, 33)
    features = model.backbone(model.prepare(image)).res5
    torch.testing.assert_close(model.coarse_logits(image), sum(layer(features) for layer in model.classify))


@torch.inference_mode()
def test_msc_takes_the_largest_logit_of_its_scales():
    torch.manual_seed(0)
    one = create_model("deeplabv2", backbone="resnet18", num_classes=2).eval()
    msc = create_model("deeplabv2", backbone="resnet18", num_classes=2, scales=(0.5, 1.0)).eval()
    msc.load_state_dict(one.state_dict())
    image = torch.rand(1, 3, 65, 65)
    half = rescale(one.prepare(image), 0.5)
    small = sum(layer(one.backbone(half).res5) for layer in one.classify)
    large = one.coarse_logits(image)
    expected = torch.maximum(large, resize(small, large.shape[-2:], align_corners=False))
    torch.testing.assert_close(msc.coarse_logits(image), expected)
    assert (expected != large).any()


def test_the_form_for_vgg_has_fc6_fc7_and_fc8_in_every_branch():
    with torch.device("meta"):
        model = create_model("deeplabv2", backbone="vgg16", output_stride=8, hidden_channels=1024)
    assert len(model.branches) == len(model.classify) == 4
    fc6, fc7, fc8 = model.branches[1][0], model.branches[1][3], model.classify[1]
    assert (fc6.kernel_size, fc6.dilation, fc6.out_channels) == ((3, 3), (12, 12), 1024)
    assert (fc7.kernel_size, fc8.kernel_size, fc8.out_channels) == ((1, 1), (1, 1), 21)


@pytest.mark.parametrize(
    "options", [{"scales": ()}, {"scales": (0.5, 0)}, {"atrous_rates": ()}, {"atrous_rates": (0,)}]
)
def test_scales_and_rates_that_cannot_work_are_refused(options):
    with pytest.raises(SettingsError, match="at least one"):
        create_model("deeplabv2", **options)
