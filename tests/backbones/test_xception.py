from __future__ import annotations

import pytest
import torch

from deeplab.backbones import create_backbone
from deeplab.backbones.xception import XceptionUnit
from deeplab.errors import SettingsError
from deeplab.layers import ConvNormAct


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


@torch.inference_mode()
def test_low_level_features_of_the_port_are_what_enters_a_unit_activated():
    backbone = create_backbone("xception41", wiring="jfzhang95").eval()
    features = backbone(torch.rand(1, 3, 33, 33))
    assert tuple(feature.shape[1] for feature in features) == backbone.channels == (128, 256, 728, 2048)
    assert all(feature.min() >= 0 for feature in features)


@pytest.mark.parametrize(("wiring", "dilations"), [("official", [2, 2, 2]), ("jfzhang95", [2, 2, 1])])
def test_the_port_never_dilates_what_would_stride(wiring, dilations):
    with torch.device("meta"):
        unit = create_backbone("xception41", output_stride=8, wiring=wiring).blocks[-2]
    assert [conv.depthwise.conv.dilation[0] for conv in unit.convs] == dilations


@pytest.mark.parametrize(("wiring", "around"), [("official", -1.0), ("jfzhang95", 0.0)])
@torch.inference_mode()
def test_the_way_around_a_unit_of_the_port_is_activated(wiring, around):
    unit = create_backbone("xception41", wiring=wiring).eval().blocks[4]
    unit.convs[-1].pointwise.norm.weight.zero_()
    out, _ = unit(torch.full((1, 728, 3, 3), -1.0))
    assert (out == around).all()


def test_the_last_unit_of_the_port_is_activated_before_its_convolutions():
    with torch.device("meta"):
        last = create_backbone("xception41", wiring="jfzhang95", norm_eps=1e-5).blocks[-1]
    assert all(isinstance(conv.depthwise.act, torch.nn.Identity) for conv in last.convs)
    assert {module.eps for module in last.modules() if hasattr(module, "eps")} == {1e-5}


@torch.inference_mode()
def test_bounded_activations_stay_within_six():
    torch.manual_seed(0)
    backbone = create_backbone("xception41", bounded_activation=True).eval()
    seen = {}
    for name, module in backbone.named_modules():
        if isinstance(module, (ConvNormAct, XceptionUnit)):
            module.register_forward_hook(lambda _, __, out, name=name: seen.update({name: out}))
    features = backbone(100 * torch.randn(1, 3, 33, 33))
    units = {name: out[0] for name, out in seen.items() if isinstance(out, tuple)}
    layers = {name: out for name, out in seen.items() if not isinstance(out, tuple) and "shortcut" not in name}
    assert max(out.abs().max() for out in layers.values()) == 6
    assert min(out.min() for out in units.values()) >= 0  # each unit ends in ReLU6
    assert max(out.max() for out in units.values()) <= 6
    assert features.res5.max() <= 6


def test_bounded_activations_are_of_the_official_wiring():
    with pytest.raises(SettingsError, match="official wiring alone"):
        create_backbone("xception41", bounded_activation=True, wiring="jfzhang95")
