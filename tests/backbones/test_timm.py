"""timm's encoders beside what the sweep of test_base.py says of them."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch

from deeplab import checkpoints
from deeplab.backbones import create_backbone
from deeplab.backbones.timm import WELL_KNOWN, WELL_KNOWN_AT_STRIDE_4
from deeplab.checkpoints import Checkpoint
from deeplab.errors import MissingExtraError, SettingsError, UnknownNameError
from deeplab.models import create_model

pytest.importorskip("timm", reason="needs timm, of the extra timm")


@pytest.mark.parametrize("size", [(1, 1), (33, 33), (48, 31)])
@pytest.mark.parametrize("name", ["convnext_atto", "mobilenetv2_100"])
@torch.inference_mode()
def test_features_are_rounded_up_at_any_size(name, size):
    features = create_backbone(f"timm/{name}", output_stride=8).eval()(torch.rand(2, 3, *size))
    for feature, stride in zip(features, (4, 8, 8, 8), strict=True):
        assert feature.shape[-2:] == tuple(-(-length // stride) for length in size)


@torch.inference_mode()
def test_convnext_at_stride_16_only_adds_samples():
    torch.manual_seed(0)
    coarse, fine = (create_backbone("timm/convnext_atto", output_stride=stride).eval() for stride in (32, 16))
    fine.load_state_dict(coarse.state_dict())
    image = torch.rand(1, 3, 96, 64)
    few, many = coarse(image).res5, fine(image).res5
    torch.testing.assert_close(many[..., ::2, ::2] / few.std(), few / few.std(), atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("name", WELL_KNOWN)
def test_the_encoders_that_errors_name_can_be_dilated(name):
    with torch.device("meta"):
        backbone = create_backbone(f"timm/{name}", output_stride=8)
        assert backbone.strides == [4, 8, 8, 8]
        if name in WELL_KNOWN_AT_STRIDE_4:
            assert create_backbone(f"timm/{name}", output_stride=4).strides == [4, 4, 4, 4]
        else:
            wanted = f"output stride 4; .* are {', '.join(WELL_KNOWN_AT_STRIDE_4)}$"
            with pytest.raises(SettingsError, match=wanted):
                create_backbone(f"timm/{name}", output_stride=4)


def test_normalisation_and_channels_are_those_of_the_encoder():
    backbone = create_backbone("timm/resnetv2_50", in_channels=4)
    assert backbone.image_mean == backbone.image_std == (0.5, 0.5, 0.5)
    assert backbone.channels == (256, 512, 1024, 2048)
    assert create_backbone("timm/mobilenetv3_small_100").image_mean == (0.485, 0.456, 0.406)


def test_every_parameter_is_used():
    torch.manual_seed(0)
    model = create_model("deeplabv3", backbone="timm/mobilenetv3_small_100", num_classes=2).train()
    model(torch.rand(2, 3, 65, 65)).square().sum().backward()
    assert [key for key, value in model.named_parameters() if value.grad is None] == []


@pytest.mark.parametrize("name", ["resnet10t", "mobilenetv3_small_050"])
def test_one_value_per_channel_is_no_obstacle_to_training(name):
    """timm's ResNets have PyTorch's BatchNorm, its MobileNets one with the activation in it."""
    model = create_model("deeplabv3", backbone=f"timm/{name}", num_classes=2).train()
    logits = model(torch.rand(1, 3, 1, 1))
    assert logits.shape == (1, 2, 1, 1)
    assert logits.isfinite().all()


@pytest.mark.parametrize("name", WELL_KNOWN)
def test_group_norm_is_for_them_too(name):
    with torch.device("meta"):
        model = create_model("deeplabv3", backbone=f"timm/{name}", num_classes=2, norm="group").train()
        assert model(torch.rand(1, 3, 33, 33)).shape == (1, 2, 33, 33)
    assert not [module for module in model.modules() if isinstance(module, torch.nn.modules.batchnorm._BatchNorm)]


@pytest.mark.parametrize("name", ["resnet10t", "mobilenetv3_small_050"])
@torch.inference_mode()
def test_an_encoder_is_that_of_timm_under_the_same_names(name):
    import timm

    ours = create_backbone(f"timm/{name}", output_stride=32).eval()
    theirs = timm.create_model(name, features_only=True, out_indices=(-4, -3, -2, -1)).eval()
    theirs.load_state_dict(ours.encoder.state_dict())
    image = torch.rand(1, 3, 64, 64)
    for feature, wanted in zip(ours(image), theirs(image), strict=True):
        torch.testing.assert_close(feature, wanted)


def test_a_saved_model_loads_again(tmp_path):
    torch.manual_seed(0)
    model = create_model("deeplabv3plus", backbone="timm/mobilenetv3_small_100", num_classes=2).eval()
    palette = np.zeros((2, 3), np.uint8)
    checkpoints.save(tmp_path / "m.safetensors", Checkpoint(model, ("a", "b"), palette))
    loaded = checkpoints.load(tmp_path / "m.safetensors").model
    assert loaded.arguments["backbone"] == "timm/mobilenetv3_small_100"
    image = torch.rand(1, 3, 40, 30)
    with torch.inference_mode():
        torch.testing.assert_close(loaded(image), model(image))


@pytest.mark.parametrize("name", ["vit_tiny_patch16_224", "ghostnet_050", "densenet121"])
def test_an_encoder_that_cannot_be_dilated_names_some_that_can(name):
    with pytest.raises(SettingsError, match=f"timm/{name} has no features .* output stride 16; .* resnet50"):
        create_backbone(f"timm/{name}")


@torch.inference_mode()
def test_without_dilation_more_of_them_will_do():
    features = create_backbone("timm/ghostnet_050", output_stride=32).eval()(torch.rand(1, 3, 33, 33))
    assert [feature.shape[-1] for feature in features] == [9, 5, 3, 2]


def test_an_unknown_encoder_names_the_nearest():
    with pytest.raises(UnknownNameError, match=r"no timm encoder 'resnet49'; did you mean .*resnet"):
        create_backbone("timm/resnet49")
    with pytest.raises(UnknownNameError, match="well-known ones are convnext_tiny"):
        create_backbone("timm/qqq")


def test_options_of_other_backbones_are_refused():
    with pytest.raises(SettingsError, match="no option of timm/resnet18 'multi_grid'"):
        create_backbone("timm/resnet18", multi_grid=(1, 2))


def test_without_timm_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(MissingExtraError, match=r"deeplab\[timm\]"):
        create_backbone("timm/resnet18")
