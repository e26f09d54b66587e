from __future__ import annotations

import torch

from deeplab.backbones import create_backbone
from deeplab.layers import MaxPool


def test_the_convolutions_have_the_parameters_of_vgg_16():
    with torch.device("meta"):
        backbone = create_backbone("vgg16")
    assert sum(parameter.numel() for parameter in backbone.parameters()) == 14_714_688  # torchvision's `features`


def test_at_stride_8_it_is_the_network_of_deeplab_v1():
    backbone = create_backbone("vgg16", output_stride=8, dilated_pooling=False)
    pools = [module for module in backbone.modules() if isinstance(module, MaxPool)]
    assert [pool.stride for pool in pools] == [2, 2, 2, 1, 1]
    assert {pool.dilation for pool in pools} == {1}
    assert {layer.dilation for layer in backbone.conv4 if hasattr(layer, "dilation")} == {(1, 1)}
    assert {layer.dilation for layer in backbone.conv5 if hasattr(layer, "dilation")} == {(2, 2)}
