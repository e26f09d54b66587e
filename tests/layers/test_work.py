"""The work of a network, by hand."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from deeplab.layers import counted


def test_convolutions_and_linear_layers_count_and_nothing_else() -> None:
    network = nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2, padding=1),  # 8 x 5 x 4 outputs of 3 x 9 each
        nn.BatchNorm2d(8),
        nn.Conv2d(8, 8, 3, padding=1, groups=8, bias=False),  # 8 x 5 x 4 outputs of 9 each
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, 2),  # 2 outputs of 8
    )
    with counted(network) as work:
        network(torch.zeros(1, 3, 9, 7))
    assert work.multiply_adds == 160 * 27 + 160 * 9 + 2 * 8
    # a 3 x 3 that pads by one misses 2 of 3 x 5 rows, and 2 of 3 x 4 columns; at stride 2 from 9 x 7, 2 of each too
    assert work.inside == 8 * 13 * 10 * (3 + 1) + 2 * 8
    assert work.bytes == 4 * ((189 + 160 + 216) + (160 + 160 + 72) + (8 + 2 + 16))


def test_on_meta_the_work_is_the_same_and_afterwards_nothing_counts() -> None:
    network = nn.Conv2d(3, 8, 3)
    with counted(network) as work:
        network(torch.zeros(2, 3, 9, 7))
    network(torch.zeros(2, 3, 9, 7))
    with counted(network.to("meta")) as shadow:
        network(torch.zeros(2, 3, 9, 7, device="meta"))
    assert shadow == work
    assert work.multiply_adds == 2 * 8 * 7 * 5 * 27


def test_the_work_grows_with_the_batch() -> None:
    layer, works = nn.Conv2d(3, 4, 3, padding=1, bias=False), []
    for images in (1, 3):
        with counted(layer) as work:
            layer(torch.zeros(images, 3, 9, 7))
        works.append((work.multiply_adds, work.inside))
    assert works[1] == tuple(3 * each for each in works[0])


@pytest.mark.parametrize(("rate", "rows"), [(1, 3 * 8 - 2), (4, 8 + 4 + 4), (8, 8), (12, 8)])
def test_what_a_rate_puts_on_padding_is_not_inside(rate: int, rows: int) -> None:
    network = nn.Conv2d(2, 5, 3, padding=rate, dilation=rate, bias=False)
    with counted(network) as work:
        network(torch.zeros(1, 2, 8, 8))
    assert work.inside == 5 * 2 * rows**2
    assert work.multiply_adds == 5 * 2 * 24**2


@pytest.mark.parametrize(("words", "padding"), [("same", (2, 4)), ("valid", (0, 0))])
def test_padding_may_be_said_in_words(words: str, padding: tuple[int, int]) -> None:
    image, works = torch.zeros(1, 3, 15, 17), []
    for each in (words, padding):
        layer = nn.Conv2d(3, 4, (3, 5), dilation=2, padding=each)
        with counted(layer) as work:
            layer(image)
        works.append(work)
    assert works[0] == works[1]
