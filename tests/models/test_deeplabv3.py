from __future__ import annotations

import pytest
import torch

from deeplab.errors import SettingsError
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


def rates(blocks):
    return [[unit.conv2.conv.dilation[0] for unit in block] for block in blocks]


@pytest.mark.parametrize(("output_stride", "last"), [(32, 1), (16, 2), (8, 4), (4, 8)])
def test_the_cascade_doubles_the_rate_with_every_block(output_stride, last):
    # at output stride 16 blocks 4 to 7 have rates 2, 4, 8, 16 (Fig. 3 b), times the multi-grid (1, 2, 1) of Table 3
    with torch.device("meta"):
        model = create_model(
            "deeplabv3", backbone="resnet50", output_stride=output_stride, cascade_blocks=3, multi_grid=(1, 2, 1)
        )
    assert model.backbone.res5[-1].conv2.conv.dilation[0] == last
    assert rates(model.blocks) == [[rate, 2 * rate, rate] for rate in (2 * last, 4 * last, 8 * last)]


def test_a_block_of_the_cascade_is_built_like_the_last_one_of_the_backbone():
    with torch.device("meta"):
        none, three = (create_model("deeplabv3", backbone="resnet50", cascade_blocks=each) for each in (0, 3))
    unit = 2048 * 512 + 9 * 512 * 512 + 512 * 2048 + 2 * (512 + 512 + 2048)  # three convolutions and their BatchNorm
    assert sum(each.numel() for each in three.blocks.parameters()) == 3 * 3 * unit
    theirs = [[tuple(each.shape) for each in unit.parameters()] for unit in list(none.backbone.res5)[1:]]
    assert [[tuple(each.shape) for each in unit.parameters()] for unit in list(three.blocks[0])[1:]] == theirs
    assert not any(name.startswith("aspp") for name, _ in three.named_parameters())


@torch.inference_mode()
def test_the_cascade_at_a_finer_output_stride_only_adds_samples():
    torch.manual_seed(0)
    options = {"backbone": "resnet18", "num_classes": 2, "cascade_blocks": 2, "multi_grid": (1, 2)}
    coarse, fine = (create_model("deeplabv3", output_stride=stride, **options).eval() for stride in (16, 8))
    fine.load_state_dict(coarse.state_dict())
    image = torch.rand(1, 3, 65, 97)
    few, many = coarse.coarse_logits(image), fine.coarse_logits(image)
    assert few.shape == (1, 2, 5, 7)
    torch.testing.assert_close(many[..., ::2, ::2] / few.std(), few / few.std(), atol=1e-3, rtol=1e-3)
    assert fine(image[..., :40, :30]).shape == (1, 2, 40, 30)


def test_every_parameter_of_the_cascade_gets_a_gradient():
    torch.manual_seed(0)
    model = create_model("deeplabv3", backbone="resnet18", num_classes=2, cascade_blocks=1).train()
    model(torch.rand(1, 3, 65, 65)).square().sum().backward()
    assert [key for key, value in model.named_parameters() if value.grad is None or not value.grad.any()] == []


def test_a_cascade_that_cannot_be_is_refused():
    with pytest.raises(
        SettingsError, match="MobileNetV2 ends in no block of residual units to repeat; choose a ResNet"
    ):
        create_model("deeplabv3", backbone="mobilenetv2", cascade_blocks=3)
    with pytest.raises(SettingsError, match="cascade_blocks wants a whole number of at least 0, got -1"):
        create_model("deeplabv3", backbone="resnet18", cascade_blocks=-1)


@pytest.mark.parametrize(
    "option",
    [
        {"image_pooling": False},
        {"aspp_channels": 128},
        {"head_conv": True},
        {"dropout": 0.5},
        {"bounded_activation": True},
    ],
)
def test_a_cascade_has_no_options_of_aspp(option):
    with pytest.raises(SettingsError, match=f"{next(iter(option))} is an option of ASPP, and cascade_blocks puts"):
        create_model("deeplabv3", backbone="resnet18", cascade_blocks=1, **option)


def test_bounded_activations_are_relu6_in_the_head():
    model = create_model("deeplabv3", backbone="resnet18", bounded_activation=True, head_conv=True)
    for part in (model.aspp.atrous, model.aspp.project, model.refine):
        assert {type(module) for module in part.modules()} & {torch.nn.ReLU, torch.nn.ReLU6} == {torch.nn.ReLU6}
