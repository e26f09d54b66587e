from __future__ import annotations

import numpy as np
import pytest
import torch

from deeplab.backbones import create_backbone
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


D8 = {"strides": (1, 2, 1, 1), "dilations": (1, 1, 2, 4)}
D16 = {"strides": (1, 2, 2, 1), "dilations": (1, 1, 1, 2)}


def configured(**backbone):
    return mmsegmentation.configured({"backbone": backbone, "decode_head": {}})


def dilations_of(arguments):
    """Of the first 3 x 3 of each unit in the last two stages of our ResNet-18."""
    stages = {key: arguments[key] for key in ("dilate_first", "multi_grid", "output_stride") if key in arguments}
    backbone = create_backbone("resnet18", **stages)
    return [unit.conv1.conv.dilation[0] for stage in (backbone.res4, backbone.res5) for unit in stage]


@pytest.mark.parametrize(
    ("backbone", "dilations"),  # as its ResLayer gives them to the units of two stages
    [
        ({**D8}, [2, 2, 4, 4]),
        ({**D8, "contract_dilation": True}, [1, 2, 2, 4]),
        ({**D8, "multi_grid": (4, 8)}, [2, 2, 4, 8]),
        ({**D8, "multi_grid": (4, 8), "contract_dilation": True}, [1, 2, 4, 8]),
        ({**D16, "multi_grid": (1, 2)}, [1, 1, 1, 2]),
        ({**D16, "multi_grid": (2, 4)}, [1, 1, 2, 4]),
        ({**D16, "multi_grid": (1, 2), "contract_dilation": True}, [1, 1, 1, 2]),
        ({}, [1, 1, 1, 1]),
    ],
)
def test_every_unit_has_the_dilation_of_the_configuration(backbone, dilations):
    assert dilations_of(configured(**backbone)) == dilations


@pytest.mark.parametrize(
    ("backbone", "problem"),
    [
        ({**D8, "multi_grid": (2, 4, 6), "contract_dilation": True}, r"multi_grid \(2, 4, 6\) is no multiple of"),
        ({**D8, "multi_grid": (2, 4, 8)}, r"multi_grid \(2, 4, 8\) is no multiple of the stage's \(4, 4, 4\)"),
        (
            {**D8, "dilations": (1, 1, 1, 1)},
            r"want dilations \(1, 1, 2, 4\) here, its configuration has \(1, 1, 1, 1\)",
        ),
        ({"strides": (1, 1, 2, 1), "dilations": (1, 2, 2, 4)}, r"strides \(1, 1, 2, 1\) are not built here"),
        ({"type": "MobileNetV2", "strides": (1, 2, 2, 1, 1, 1, 1)}, "want dilations"),
    ],
)
def test_a_configuration_that_cannot_be_built_is_said(small, tmp_path, backbone, problem):
    config = f"model = dict(backbone={backbone!r}, decode_head=dict())"
    torch.save({"meta": {"config": config}, "state_dict": small}, tmp_path / "model.pth")
    with pytest.raises(CheckpointError, match=rf"model\.pth: .*{problem}"):
        mmsegmentation.convert(tmp_path / "model.pth")


@pytest.mark.parametrize(("dilations", "rates"), [((1, 6, 12, 18), (6, 12, 18)), ((1, 12, 24, 36), None)])
def test_rates_other_than_those_of_the_output_stride_are_kept(dilations, rates):
    told = mmsegmentation.configured({"backbone": {**D8}, "decode_head": {"dilations": dilations}})
    assert (told["output_stride"], told["atrous_rates"]) == (8, rates)


@pytest.mark.parametrize(("depth", "stride_in"), [(18, None), (50, "1x1")])
def test_a_caffe_style_bottleneck_strides_in_its_first_convolution(depth, stride_in):
    assert configured(**D16, style="caffe", depth=depth).get("stride_in") == stride_in
    assert "stride_in" not in configured(**D16, style="pytorch", depth=depth)


@pytest.mark.parametrize(
    "image",
    [
        "img_norm_cfg = dict(mean=[51, 102, 255], std=[255, 51, 102], to_rgb={})\nmodel = dict({})",
        "model = dict(data_preprocessor=dict(mean=[51, 102, 255], std=[255, 51, 102], bgr_to_rgb={}), {})",
    ],
)
@pytest.mark.parametrize("rgb", [True, False])
def test_the_normalisation_is_that_of_the_file(small, tmp_path, image, rgb):
    config = image.format(
        rgb, f"backbone=dict(strides={D8['strides']}, dilations={D8['dilations']}), decode_head=dict()"
    )
    torch.save({"meta": {"config": config}, "state_dict": small}, tmp_path / "model.pth")
    model = mmsegmentation.convert(tmp_path / "model.pth").checkpoint.model
    mean, std = [0.2, 0.4, 1], [1, 0.2, 0.4]
    first = small["backbone.stem.0.weight"]
    if not rgb:  # the same for an image in our order
        mean, std, first = mean[::-1], std[::-1], first.flip(1)
    assert model.arguments["image_mean"] == mean
    assert model.arguments["image_std"] == std
    assert model.backbone.stem[0].conv.weight.equal(first)


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
    assert "classes" not in mmsegmentation.convert(tmp_path / "model.pth").assumed


def test_without_them_classes_go_by_their_number(small, tmp_path):
    facts = {"CLASSES": ("one", "two"), "PALETTE": [[1, 2], [3]]}
    torch.save({"meta": facts, "state_dict": small}, tmp_path / "model.pth")
    conversion = mmsegmentation.convert(tmp_path / "model.pth")
    assert conversion.checkpoint.classes[0] == "road"
    assert conversion.assumed == {"classes": "Cityscapes", "output_stride": 8, "atrous_rates": (12, 24, 36)}


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
