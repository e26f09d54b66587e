from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from deeplab.errors import SettingsError
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


@pytest.mark.parametrize("kernel_size", [2, 4])
def test_an_even_kernel_wants_an_even_rate(kernel_size):
    options = {"backbone": "vgg16", "hidden_channels": 8, "kernel_size": kernel_size}
    with pytest.raises(SettingsError, match=f"kernel_size {kernel_size} wants an even atrous_rate, got 3"):
        create_model("deeplabv1", output_stride=32, **options)
    model = create_model("deeplabv1", output_stride=32, atrous_rate=4, **options).eval()
    for size in (1, 33, 65):
        assert model.scores(torch.zeros(1, 3, size, size)).shape[-1] == -(-size // 32)


@pytest.fixture
def msc():
    """DeepLab-MSc-LargeFOV with every branch loud enough to count."""
    torch.manual_seed(0)
    model = create_model("deeplabv1", backbone="vgg16", output_stride=8, num_classes=2, multi_scale=True).eval()
    for detail in model.details:
        for layer in (detail[0], detail[3]):
            torch.nn.init.kaiming_normal_(layer.weight)
    return model


def test_multi_scale_attaches_five_perceptrons_of_128_channels():
    with torch.device("meta"):
        plain, msc = (
            create_model("deeplabv1", backbone="vgg16", num_classes=21, multi_scale=each) for each in (False, True)
        )
    inputs, hidden = 3 + 64 + 128 + 256 + 512, 5 * 128  # the image and pool1 .. pool4
    perceptrons = (inputs * 9 * 128 + hidden) + (hidden * 128 + hidden)
    classifiers = hidden * 21 + 5 * 21
    numbers = [sum(each.numel() for each in model.parameters()) for model in (plain, msc)]
    assert numbers[1] - numbers[0] == perceptrons + classifiers


@torch.inference_mode()
def test_multi_scale_has_the_logits_of_the_authors_training_network_at_every_eighth_pixel(msc):
    # there the branches of image, pool1, pool2 have stride 8, 4, 2 in their 3 x 3, and nothing is enlarged
    image = torch.rand(1, 3, 33, 41)
    x = msc.prepare(image)
    *pools, deepest = msc.backbone.pooled(x)
    expected = msc.classify[0](msc.semantics(deepest))
    scale = expected.std()
    sources = zip(msc.details, list(msc.classify)[1:], (x, *pools), (8, 4, 2, 1, 1), strict=True)
    for detail, classify, features, stride in sources:
        hidden = F.relu(F.conv2d(features, detail[0].weight, detail[0].bias, stride=stride, padding=1))
        branch = classify(F.relu(detail[3](hidden)))
        assert branch.std() > 1e-2 * scale  # none is lost in the sum
        expected = expected + branch
    assert expected.shape == (1, 2, 5, 6)
    torch.testing.assert_close(msc(image)[..., ::8, ::8], expected)


@torch.inference_mode()
def test_multi_scale_gives_logits_for_every_pixel(msc):
    assert msc.coarse_logits(torch.rand(1, 3, 20, 31)).shape == (1, 2, 25, 33)  # padded to 8 k + 1
    assert msc(torch.rand(1, 3, 1, 1)).shape == (1, 2, 1, 1)


def test_multi_scale_is_of_vgg_16_only():
    with pytest.raises(SettingsError, match="multi_scale reads the poolings of VGG-16: choose backbone vgg16"):
        create_model("deeplabv1", backbone="resnet18", multi_scale=True)
