from __future__ import annotations

import pytest
import torch

from deeplab.errors import SettingsError
from deeplab.layers import DensePredictionCell
from deeplab.layers.dense_prediction_cell import CITYSCAPES


def test_the_published_cell_has_five_branches_and_the_papers_rates():
    cell = DensePredictionCell(8, channels=4)
    rates = [branch.depthwise.conv.dilation for branch in cell.branches]
    assert rates == [(1, 6), (18, 15), (6, 3), (1, 1), (6, 21)]  # Fig. 5
    assert cell.inputs == (-1, 0, 1, 0, 0)
    assert cell.project.conv.in_channels == 5 * 4


@pytest.mark.parametrize("stride, rates", [(8, (36, 30)), (16, (18, 15)), (32, (9, 7))])
def test_rates_follow_the_output_stride(stride, rates):
    assert DensePredictionCell(8, channels=4, output_stride=stride).branches[1].depthwise.conv.dilation == rates


@pytest.mark.parametrize("stride", [8, 16, 32])
def test_every_branch_keeps_the_size(stride):
    cell = DensePredictionCell(8, channels=4, output_stride=stride)
    assert cell(torch.randn(2, 8, 5, 9)).shape == (2, 4, 5, 9)


def test_a_cell_as_in_the_official_files_with_pyramid_pooling_and_1x1():
    pool = {"op": "pyramid_pooling", "grid_size": [2, 2], "input": -1}
    cell = DensePredictionCell(3, cell=[pool, {"op": "conv", "kernel": 1, "input": 0}], channels=2).eval()
    assert cell(torch.randn(1, 3, 9, 7)).shape == (1, 2, 9, 7)
    seen = []
    cell.branches[0].pointwise.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    x = torch.randn(1, 3, 9, 7)
    cell(x)
    torch.testing.assert_close(seen[0][0, :, 0, 0], x[0, :, :5, :4].mean(dim=(1, 2)))  # windows of half the features
    assert seen[0].shape == (1, 3, 5, 4)


def test_what_pyramid_pooling_gives_is_resized_corner_to_corner():
    torch.manual_seed(0)
    pool = {"op": "pyramid_pooling", "grid_size": [2, 2], "input": -1}
    branch = DensePredictionCell(3, cell=[pool], channels=2).eval().branches[0]
    x = torch.randn(1, 3, 9, 7)
    pooled = branch.pointwise(torch.nn.functional.avg_pool2d(x, (5, 4), stride=1))
    expected = torch.nn.functional.interpolate(pooled, size=(9, 7), mode="bilinear", align_corners=True)
    torch.testing.assert_close(branch(x), expected)


@pytest.mark.parametrize(
    "cell, words",
    [
        ([], "at least one branch"),
        ([{**CITYSCAPES[0], "input": 0}], "reads one before it"),
        ([{"op": "conv", "kernel": 5, "rate": [1, 1], "input": -1}], "kernel 1 or 3"),
        ([{"op": "pyramid_pooling", "grid_size": [0, 1], "input": -1}], "grid_size"),
    ],
)
def test_a_branch_that_is_none_is_refused(cell, words):
    with pytest.raises(SettingsError, match=words):
        DensePredictionCell(3, cell=cell)
