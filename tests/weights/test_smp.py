from __future__ import annotations

import pytest

from deeplab.weights import smp


@pytest.fixture(scope="module")
def case(golden):
    return golden("torch_smp/deeplabv3plus_resnet50_os16")


@pytest.mark.parametrize("run", ["dogs_64x64", "harbour_96x128"])
def test_logits_are_those_of_that_library(case, run):
    model = smp.source.from_tensors(case.state, what="golden").checkpoint.model
    assert case.difference(model, run, full_size=True) < 2e-4


def test_v3_on_mobilenetv2_gives_its_logits(golden):
    case = golden("torch_smp/deeplabv3_mobilenet_v2_os16")
    model = smp.source.from_tensors(case.state, what="golden", output_stride=16).checkpoint.model
    assert model.arguments["image_mean"] == [0.485, 0.456, 0.406]
    assert case.difference(model, "harbour_96x128", full_size=True) < 2e-4


@pytest.mark.parametrize(
    ("name", "output_stride"), [("v3_r18_os8", None), ("v3plus_r34_os8", 8), ("v3plus_mobilenet", None)]
)
def test_other_networks_of_it_give_its_logits(recording, name, output_stride):
    recorded = recording(f"smp_{name}")
    model = smp.source.from_tensors(recorded.state, what="golden", output_stride=output_stride).checkpoint.model
    assert recorded.difference(model) < 2e-4


def test_older_names_of_v3_are_known(recording):
    recorded = recording("smp_v3_r18_os8")
    older = {"decoder.aspp.": "decoder.0.", "decoder.conv.": "decoder.1.", "decoder.bn.": "decoder.2."}
    state = {}
    for name, tensor in recorded.state.items():
        start = next((start for start in older if name.startswith(start)), "")
        state[older.get(start, "") + name.removeprefix(start)] = tensor
    assert "decoder.2.running_var" in state
    model = smp.source.from_tensors(state, what="golden").checkpoint.model
    assert recorded.difference(model) < 2e-4
