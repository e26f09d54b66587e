"""The counting of benchmarks/network_size.py, and some of its rows."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

SCRIPT = Path(__file__).parent.parent / "benchmarks" / "network_size.py"


@pytest.fixture(scope="module")
def benchmark():
    if not SCRIPT.is_file():
        pytest.skip("benchmarks/ is not in this copy of the project")
    spec = importlib.util.spec_from_file_location("network_size", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


def test_it_counts_convolutions_and_linear_layers_alone(benchmark):
    network = nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2, padding=1),  # 8 x 5 x 4 outputs of 3 x 9 each
        nn.BatchNorm2d(8),
        nn.Conv2d(8, 8, 3, padding=2, dilation=2, groups=8, bias=False),  # 8 x 5 x 4 outputs of 9 each
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, 2),  # 2 outputs of 8
    )
    size = benchmark.network_size(network.to("meta"), torch.empty(1, 3, 9, 7, device="meta"))
    assert size.parameters == (3 * 9 * 8 + 8) + 2 * 8 + 9 * 8 + (8 * 2 + 2)
    assert size.multiply_adds == 8 * 20 * 27 + 8 * 20 * 9 + 2 * 8
    assert size.in_whole_cells == 8 * 20 * 27 + 8 * (6 * 4) * 9 + 2 * 8  # 5 x 4 is 6 x 4 in cells of 2 x 2


@pytest.mark.parametrize(
    ("key", "why"),
    [
        ("mobilenetv2_voc os16", "whole cells"),
        ("mobilenet_edgetpu os32", ""),
        ("smp/deeplabv3plus_resnet18_os16", ""),
        ("hf/mobilenetv2_dm035_os16", "its 1 x 1 to 1280 channels, which nothing reads"),
        ("torchvision/deeplabv3_resnet50", "its auxiliary classifier, for training"),
    ],
)
def test_ours_is_what_was_measured_on_theirs_but_for_a_named_difference(benchmark, shared, key, why):
    row = next(row for row in benchmark.ROWS if row.theirs == key)
    theirs = benchmark.measured(shared / "golden" / "params_madds")[f"{key} {row.size[0]}x{row.size[1]}"]
    assert benchmark.reason(row, benchmark.our_size(row), theirs) == why


def test_a_difference_without_a_reason_is_none(benchmark):
    row = next(row for row in benchmark.ROWS if row.theirs == "mobilenetv2_voc os16")
    ours = benchmark.Size(10, 100, 120)
    assert benchmark.reason(row, ours, (10, 100)) == ""
    assert benchmark.reason(row, ours, (10, 120)) == "whole cells"
    assert benchmark.reason(row, ours, (11, 100)) is None
    assert benchmark.reason(row, ours, (10, 119)) is None


def test_a_multi_scale_row_sums_its_scales_and_their_mirror_images(benchmark):
    row = benchmark.Row("", (65, 97), benchmark.LIGHT("mobilenetv2"), scales=(0.5, 1.0))
    once = [benchmark.our_size(row._replace(size=size, scales=(1.0,))) for size in ((33, 49), (65, 97))]
    assert benchmark.our_size(row).multiply_adds == 2 * (once[0].multiply_adds + once[1].multiply_adds)
    assert benchmark.our_size(row).parameters == once[0].parameters
