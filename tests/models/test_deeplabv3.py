from __future__ import annotations

import pytest
import torch

from deeplab.models import create_model


def multiply_adds(model, size):
    """Of the convolutions, for one image of `size`, counted on shapes alone."""
    counts = []

    def count(conv, inputs, output):
        taps = conv.weight[0].numel()  # per output value: in_channels / groups * kernel area
        counts.append(output.numel() * taps)

    for module in model.modules():
        if isinstance(module, torch.nn.Conv2d):
            module.register_forward_hook(count)
    with torch.device("meta"):
        model.to("meta").eval()(torch.rand(1, 3, *size))
    return sum(counts)


@pytest.fixture
def official():
    """The official MobileNetV2 model for PASCAL VOC: stride 16, image pooling and 1 x 1, no atrous branch."""
    return create_model("deeplabv3", backbone="mobilenetv2", num_classes=21, atrous_rates=())


def test_the_official_voc_model_has_2_75_billion_multiply_adds_at_513(official):
    # model_zoo.md says 2.75 B; its graph has 2 742 445 696 in convolutions, where TensorFlow's space-to-batch pads
    # the input of the three dilated depthwise convolutions from 33 to 34
    padded = 3 * 960 * 9 * (34**2 - 33**2)
    assert multiply_adds(official, (513, 513)) == 2_742_445_696 - padded


def test_the_official_voc_model_has_its_number_of_parameters(official):
    assert sum(p.numel() for p in official.parameters()) == 2_113_557


def test_width_one_half_has_0_87_billion_multiply_adds_at_513():
    # facts: 0.868 B measured on the original graph
    half = create_model("deeplabv3", backbone="mobilenetv2", depth_multiplier=0.5, divisible_by=1, atrous_rates=())
    assert multiply_adds(half, (513, 513)) == pytest.approx(0.868e9, rel=1e-3)


def test_batchnorm_of_the_head_is_the_official_one():
    norm = create_model("deeplabv3").aspp.project.norm
    assert (norm.eps, norm.momentum) == (1e-5, 3e-4)
