from __future__ import annotations

import pytest
import torch

from deeplab.backbones import create_backbone


@pytest.mark.parametrize(("depth_multiplier", "channels"), [(1.0, (128, 192, 384, 1280)), (0.75, (96, 160, 288, 1280))])
def test_widths_are_those_of_the_paper_s_table_and_of_the_slim_model(
    depth_multiplier: float, channels: tuple[int, ...]
) -> None:
    assert create_backbone("mobilenet_edgetpu", depth_multiplier=depth_multiplier).channels == channels


def test_dilations_are_those_of_the_official_graph_at_stride_16() -> None:
    backbone = create_backbone("mobilenet_edgetpu", output_stride=16, depth_multiplier=0.75)
    spatial = [
        (conv.kernel_size[0], conv.stride[0], conv.dilation[0])
        for conv in backbone.modules()
        if isinstance(conv, torch.nn.Conv2d) and conv.kernel_size[0] > 1
    ]
    # operators 0 to 70 of the Cityscapes model: stem, 8 fused blocks, 4 + 4 depthwise, four 5 x 5, one 3 x 3
    stride_2 = (3, 2, 1)
    fused = [stride_2, (3, 1, 1), (3, 1, 1), (3, 1, 1)]
    depthwise = [stride_2, *[(3, 1, 1)] * 7, (5, 1, 1), (5, 1, 2), (5, 1, 2), (5, 1, 2), (3, 1, 2)]
    assert spatial == [stride_2, *fused, *fused, *depthwise]


@pytest.mark.parametrize(("fine", "coarse"), [(4, 8), (8, 16), (16, 32)])
@torch.no_grad()
def test_a_finer_output_stride_only_adds_samples(fine: int, coarse: int) -> None:
    torch.manual_seed(0)
    networks = [
        create_backbone("mobilenet_edgetpu", output_stride=stride, depth_multiplier=0.25).eval()
        for stride in (fine, coarse)
    ]
    networks[0].load_state_dict(networks[1].state_dict())
    image = torch.rand(1, 3, 97, 65)  # k * 32 + 1
    for few, many in zip(networks[1](image), networks[0](image), strict=True):
        step = (many.shape[-1] - 1) // (few.shape[-1] - 1)
        torch.testing.assert_close(many[..., ::step, ::step], few, rtol=1e-4, atol=1e-4 * few.abs().max().item())


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (33, 50)])
@torch.no_grad()
def test_features_have_their_stride_at_any_size(size: tuple[int, int]) -> None:
    features = create_backbone("mobilenet_edgetpu", depth_multiplier=0.25).eval()(torch.rand(1, 3, *size))
    for feature, stride in zip(features, (4, 8, 16, 16), strict=True):
        assert feature.shape[-2:] == tuple(-(-length // stride) for length in size)
