from __future__ import annotations

import pytest
import torch

from deeplab.models import create_model


@pytest.mark.parametrize(
    ("options", "millions"),
    [
        ({"kernel_size": 7, "atrous_rate": 4, "hidden_channels": 4096}, 134.3),
        ({"kernel_size": 4, "atrous_rate": 4, "hidden_channels": 4096}, 65.1),
        ({"kernel_size": 4, "atrous_rate": 8, "hidden_channels": 4096}, 65.1),
        ({}, 20.5),
    ],
    ids=["7x7", "4x4", "4x4 large field", "LargeFOV"],
)
def test_the_field_of_view_family_has_the_parameters_of_table_2(options, millions):
    with torch.device("meta"):
        model = create_model("deeplabv1", backbone="vgg16", num_classes=21, output_stride=8, **options)
    assert sum(each.numel() for each in model.parameters()) / 1e6 == pytest.approx(millions, abs=0.05)


@pytest.mark.parametrize(("kernel_size", "atrous_rate", "field"), [(3, 12, 25), (4, 8, 25), (7, 4, 25), (4, 4, 13)])
@torch.inference_mode()
def test_fc6_reads_the_field_of_its_kernel_and_rate(kernel_size, atrous_rate, field):
    model = create_model(
        "deeplabv1", backbone="vgg16", output_stride=8, kernel_size=kernel_size, atrous_rate=atrous_rate,
        hidden_channels=1, average_pooling=False,
    )  # fmt: skip
    features = torch.zeros(1, 512, 61, 61)
    features[..., 30, 30] = 1
    model.fc6.weight.fill_(1)
    seen = model.fc6(features)[0, 0] - model.fc6.bias[0]
    rows = seen.ne(0).any(dim=1).nonzero().flatten()
    assert seen.shape == (61, 61)
    assert rows[-1] - rows[0] + 1 == field


@torch.inference_mode()
def test_the_rate_follows_the_output_stride():
    rates = {stride: create_model("deeplabv1", output_stride=stride).fc6.dilation[0] for stride in (4, 8, 16, 32)}
    assert rates == {4: 24, 8: 12, 16: 6, 32: 3}
