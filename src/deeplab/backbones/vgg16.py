"""VGG-16 (Simonyan and Zisserman, ICLR 2015, arXiv 1409.1556) as DeepLab v1 takes it: pooling over 3 x 3, no fully
connected layers."""

from __future__ import annotations

from torch import Tensor, nn

from deeplab.backbones._base import Backbone, Features, atrous_plan
from deeplab.layers import MaxPool, PaddedConv

__all__ = ["VGG16", "vgg16"]

STAGES = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))
"""Channels and convolutions of conv1 .. conv5 (Table 1, D); a pooling follows each."""


class VGG16(Backbone):
    """Thirteen 3 x 3 convolutions in five stages, without normalisation, a 3 x 3 max pooling after each stage.

    Shape: (N, in_channels, H, W) -> Features of (N, channels.resK, ceil(H / stride), ceil(W / stride)); res2 to res4
    are conv3_3 to conv5_3, res5 is pool5.

    Args:
        dilated_pooling: Whether a pooling behind a removed stride reads the dilated grid, so that a finer output
            stride only adds samples. The authors' Caffe models have it False: their pool5 reads neighbours.
    """

    image_mean = (0.48109, 0.45752, 0.40787)  # the authors' 122.675, 116.669, 104.008 over 255
    image_std = (1 / 255, 1 / 255, 1 / 255)

    def __init__(self, *, in_channels: int = 3, output_stride: int = 16, dilated_pooling: bool = True) -> None:
        super().__init__()
        plan = atrous_plan([2] * len(STAGES), start=1, output_stride=output_stride)
        stages, pools, dilation = [], [], 1
        for (channels, count), step in zip(STAGES, plan, strict=True):
            layers: list[nn.Module] = []
            for _ in range(count):
                layers += [PaddedConv(in_channels, channels, 3, dilation=dilation, bias=True), nn.ReLU()]
                in_channels = channels
            stages.append(nn.Sequential(*layers))
            pools.append(MaxPool(stride=step.stride, dilation=step.dilation if dilated_pooling else 1))
            dilation = step.dilation_after
        self.conv1, self.conv2, self.conv3, self.conv4, self.conv5 = stages
        self.pool1, self.pool2, self.pool3, self.pool4, self.pool5 = pools
        self.channels = Features(256, 512, 512, 512)
        for module in self.modules():
            if isinstance(module, PaddedConv) and module.bias is not None:
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
                nn.init.zeros_(module.bias)

    def pooled(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """The output of pool1 .. pool5, at stride 2, 4, 8, 16, 32, no coarser than the output."""
        pool1 = self.pool1(self.conv1(x))
        pool2 = self.pool2(self.conv2(pool1))
        pool3 = self.pool3(self.conv3(pool2))
        pool4 = self.pool4(self.conv4(pool3))
        return pool1, pool2, pool3, pool4, self.pool5(self.conv5(pool4))

    def forward(self, x: Tensor) -> Features[Tensor]:
        res2 = self.conv3(self.pool2(self.conv2(self.pool1(self.conv1(x)))))
        res3 = self.conv4(self.pool3(res2))
        res4 = self.conv5(self.pool4(res3))
        return Features(res2, res3, res4, self.pool5(res4))


vgg16 = VGG16
