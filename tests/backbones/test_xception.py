from __future__ import annotations

import pytest
import torch

from deeplab.backbones import create_backbone
from deeplab.errors import SettingsError


@pytest.mark.parametrize(("name", "units"), [("xception41", 13), ("xception65", 21), ("xception71", 23)])
def test_the_units_are_those_of_the_name(name, units):
    with torch.device("meta"):
        backbone = create_backbone(name)
    assert len(backbone.blocks) == units


def test_multi_grid_multiplies_the_rates_of_the_last_unit():
    with torch.device("meta"):
        last = create_backbone("xception65", output_stride=16, multi_grid=(1, 2, 4)).blocks[-1]
    assert [conv.depthwise.conv.dilation[0] for conv in last.convs] == [2, 4, 8]


def test_a_multi_grid_of_another_length_is_refused():
    with pytest.raises(SettingsError, match="3 convolutions"):
        create_backbone("xception65", multi_grid=(1, 2))


def test_the_last_unit_is_activated_inside_and_the_others_before():
    with torch.device("meta"):
        blocks = create_backbone("xception41").blocks
    assert [block.activate_before for block in blocks] == [True] * 12 + [False]
    assert [block.shortcut is None for block in blocks] == [False] * 12 + [True]
