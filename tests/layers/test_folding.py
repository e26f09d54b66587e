from __future__ import annotations

import pytest
import torch
from torch import nn

from deeplab.catalog import entries
from deeplab.layers import counted, folded
from deeplab.models import create_model

MODELS = list(entries("models"))
BY_LENGTH = sorted(entries("backbones").items(), key=lambda item: (len(item[0]), item[0]), reverse=True)
BACKBONES = {module: name for name, module in BY_LENGTH}
"""One of each file, that with the shortest name."""


def with_statistics(model):
    """As trained: no BatchNorm leaves its input as it is."""
    generator = torch.Generator().manual_seed(0)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor in (module.weight.data, module.running_var):
                tensor.uniform_(0.5, 1.5, generator=generator)
            for tensor in (module.bias.data, module.running_mean):
                tensor.normal_(0, 0.1, generator=generator)
    return model.eval()


@pytest.mark.parametrize(
    ("name", "backbone"),
    [*(("deeplabv3plus", backbone) for backbone in BACKBONES.values()), *((name, "mobilenetv2") for name in MODELS)],
)
@torch.inference_mode()
def test_a_folded_network_computes_the_same_without_batch_norm(name, backbone):
    torch.manual_seed(0)
    model = with_statistics(create_model(name, backbone=backbone, num_classes=3))
    image = torch.rand(1, 3, 49, 40)
    expected = model(image)
    quick = folded(model)
    assert [module for module in quick.modules() if isinstance(module, nn.BatchNorm2d)] == []
    torch.testing.assert_close(quick(image), expected, rtol=0, atol=2e-4 * expected.std().item())  # as parity's LIMIT
    torch.testing.assert_close(model(image), expected, rtol=0, atol=0)  # itself it stays as it was


@torch.inference_mode()
def test_group_norm_and_what_is_not_of_this_package_stay():
    model = create_model("deeplabv3", num_classes=2, norm="group").eval()
    image = torch.rand(1, 3, 20, 20)
    torch.testing.assert_close(folded(model)(image), model(image), rtol=0, atol=0)
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
    assert folded(network) is network


def test_what_is_not_folded_is_shared():
    model = create_model("deeplabv3", num_classes=2).eval()
    assert folded(model).classify.weight is model.classify.weight


def multiply_adds(model, images):
    with counted(model) as work:
        model(images)
    return work.multiply_adds


@torch.inference_mode()
def test_the_image_pooling_is_projected_once_for_an_image():
    torch.manual_seed(0)
    model = with_statistics(create_model("deeplabv3", num_classes=3, output_stride=16))
    quick = folded(model)
    images = torch.rand(2, 3, 33, 49)  # each has a mean of its own, and 3 x 4 features
    at_one_place = 256 * 256
    assert multiply_adds(model, images) - multiply_adds(quick, images) == 2 * (3 * 4 - 1) * at_one_place
    expected = model(images)
    torch.testing.assert_close(quick(images), expected, rtol=0, atol=2e-4 * expected.std().item())


@torch.inference_mode()
@pytest.mark.parametrize(
    "options", [{"image_pooling": False}, {"image_pooling_crop_size": (33, 33)}, {"aspp_project_kernel_size": 3}]
)
def test_image_pooling_that_differs_over_the_image_is_projected_everywhere(options):
    model = with_statistics(create_model("deeplabv3", num_classes=3, **options))
    quick = folded(model)
    image = torch.rand(1, 3, 49, 40)
    expected = model(image)
    torch.testing.assert_close(quick(image), expected, rtol=0, atol=2e-4 * expected.std().item())
    assert multiply_adds(quick, image) == multiply_adds(model, image)
