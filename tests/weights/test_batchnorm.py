from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from deeplab.errors import DataError
from deeplab.layers import BatchNorm
from deeplab.models import create_model
from deeplab.weights.batchnorm import recalibrate_batchnorm


@pytest.fixture
def images() -> Tensor:
    return torch.rand(4, 3, 33, 49, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def folded() -> nn.Module:
    """A model as the converters make it: norms that only add a bias."""
    torch.manual_seed(0)
    model = create_model(
        "deeplabv3",
        backbone="mobilenetv2",
        num_classes=3,
        atrous_rates=(),
        dropout=0.0,
        depth_multiplier=0.25,
    )
    for norm in norms(model):
        nn.init.constant_(norm.running_var, 1 - norm.eps)
        nn.init.normal_(norm.bias, std=0.1)
    nn.init.normal_(model.classify.weight)
    return model.eval()


def norms(model: nn.Module) -> list[BatchNorm]:
    return [module for module in model.modules() if isinstance(module, BatchNorm)]


@torch.no_grad()
def test_the_function_in_evaluation_mode_stays(folded: nn.Module, images: Tensor) -> None:
    before = folded(images)
    recalibrate_batchnorm(folded, [images])
    torch.testing.assert_close(folded(images), before, rtol=1e-4, atol=1e-4 * before.abs().max().item())  # 53 norms


@torch.no_grad()
def test_training_mode_starts_from_the_same_function(folded: nn.Module, images: Tensor) -> None:
    before = folded(images)
    folded.train()
    changed = (folded(images) - before).abs().max()
    folded.eval()
    for norm in norms(folded):  # the pass in training mode has moved them
        nn.init.zeros_(norm.running_mean)
        nn.init.constant_(norm.running_var, 1 - norm.eps)
    recalibrate_batchnorm(folded, [images])
    folded.train()
    torch.testing.assert_close(folded(images), before, rtol=1e-3, atol=1e-3 * before.abs().max().item())
    assert changed > 0.1 * before.abs().max()  # without it the start is another function


@torch.no_grad()
def test_the_running_statistics_are_those_of_the_input_of_the_norm(folded: nn.Module, images: Tensor) -> None:
    recalibrate_batchnorm(folded, [images[:1], images[1:]])
    stem = folded.backbone.stem
    seen = stem.conv(folded.prepare(images))
    torch.testing.assert_close(stem.norm.running_mean, seen.mean(dim=(0, 2, 3)))
    torch.testing.assert_close(stem.norm.running_var, seen.var(dim=(0, 2, 3), correction=0))


def test_the_mode_of_the_model_is_kept_and_no_hook_stays(folded: nn.Module, images: Tensor) -> None:
    folded.train()
    recalibrate_batchnorm(folded, [images])
    assert folded.training
    assert not any(norm._forward_pre_hooks for norm in norms(folded))


def test_no_images_is_an_error(folded: nn.Module) -> None:
    with pytest.raises(DataError, match="at least one batch"):
        recalibrate_batchnorm(folded, [])
