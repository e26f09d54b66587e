from __future__ import annotations

import numpy as np
import pytest
import torch

from deeplab.errors import CheckpointError
from deeplab.weights import convert, mmsegmentation


@pytest.mark.parametrize("name", ["v3plus_r18_d8", "v3_r50_d8", "v3plus_mobilenetv2_d8"])
def test_a_state_dict_alone_gives_the_logits_of_mmsegmentation(recording, name):
    recorded = recording(f"mmsegmentation_{name}")
    model = mmsegmentation.source.from_tensors(recorded.state, what="golden").checkpoint.model
    assert recorded.difference(model) < 2e-4  # of the logits' standard deviation


@pytest.mark.parametrize(
    ("name", "key", "output_stride"), [("v3_r18b_d8", "config", 8), ("v3plus_r50_d16_mg124", "cfg", 16)]
)
def test_a_file_is_read_by_its_configuration(recording, tmp_path, name, key, output_stride):
    recorded = recording(f"mmsegmentation_{name}")
    torch.save({"meta": {key: recorded.facts["config"]}, "state_dict": recorded.state}, tmp_path / "model.pth")
    checkpoint = convert(tmp_path / "model.pth").checkpoint
    assert checkpoint.training["source"] == "mmsegmentation"
    assert checkpoint.model.arguments["output_stride"] == output_stride
    assert checkpoint.model.arguments["align_corners"]
    np.testing.assert_allclose(checkpoint.model.arguments["image_mean"], (0.485, 0.456, 0.406))
    assert recorded.difference(checkpoint.model) < 2e-4


def test_a_configuration_of_mobilenetv2_says_the_same_as_its_tensors(recording):
    recorded = recording("mmsegmentation_v3plus_mobilenetv2_d8")
    told = mmsegmentation.configured(mmsegmentation.model_of(recorded.facts["config"]))
    arguments = mmsegmentation.source.from_tensors(recorded.state, what="golden").checkpoint.model.arguments
    assert {key: arguments[key] for key in told} == told


@pytest.fixture(scope="module")
def small(recording):
    return recording("mmsegmentation_v3plus_r18_d8").state


@pytest.mark.parametrize("version", [0, 1])
def test_classes_and_colours_are_those_of_the_file(small, tmp_path, version):
    classes, palette = [f"kind {index}" for index in range(19)], [[index, 0, 255] for index in range(19)]
    facts = {"CLASSES": classes, "PALETTE": palette}
    if version == 1:
        facts = {"dataset_meta": {"classes": tuple(classes), "palette": palette}}
    torch.save({"meta": facts, "state_dict": small}, tmp_path / "model.pth")
    checkpoint = mmsegmentation.convert(tmp_path / "model.pth").checkpoint
    assert checkpoint.classes == tuple(classes)
    assert checkpoint.palette.tolist() == palette


def test_without_them_classes_go_by_their_number(small, tmp_path):
    facts = {"CLASSES": ("one", "two"), "PALETTE": [[1, 2], [3]]}
    torch.save({"meta": facts, "state_dict": small}, tmp_path / "model.pth")
    assert mmsegmentation.convert(tmp_path / "model.pth").checkpoint.classes[0] == "road"


def test_a_training_script_s_numbers_do_not_stand_in_the_way(small, tmp_path):
    facts = {"best": np.float64(0.8), "losses": np.ones(3)}
    torch.save({"meta": {}, "message_hub": facts, "state_dict": small}, tmp_path / "model.pth")
    converted = mmsegmentation.convert(tmp_path / "model.pth")
    torch.testing.assert_close(converted.checkpoint.model.classify.bias.data, small["decode_head.conv_seg.bias"])
    assert all(name.startswith("auxiliary_head.") for name in converted.left)


@pytest.mark.parametrize(
    "config", ["model = dict(backbone=3, decode_head=dict())", "model = dict(type='Detector')", "model = dict("]
)
def test_a_configuration_that_makes_no_sense_is_said_or_left(small, tmp_path, config):
    torch.save({"meta": {"config": config}, "state_dict": small}, tmp_path / "model.pth")
    if config.endswith("("):
        assert mmsegmentation.convert(tmp_path / "model.pth").checkpoint.model.arguments["output_stride"] == 8
    else:
        with pytest.raises(CheckpointError, match=r"model\.pth: its configuration is of another network"):
            mmsegmentation.convert(tmp_path / "model.pth")
