from __future__ import annotations

import numpy as np
import pytest
import torch

from deeplab import checkpoints
from deeplab.checkpoints import Checkpoint
from deeplab.data import open_dataset
from deeplab.data.transforms import Augmentation
from deeplab.layers import resize
from deeplab.models import create_model
from deeplab.settings import TrainSettings
from deeplab.training import run, start, train
from deeplab.training.batches import Photos, TrainingCrops
from deeplab.weights.batchnorm import is_folded

OPTIONS = {"backbone": "mobilenetv2", "depth_multiplier": 0.25, "aspp_channels": 16, "atrous_rates": ()}


def folded(name="deeplabv3", **options):
    """A model whose BatchNorms let everything pass, as in a converted file."""
    torch.manual_seed(0)
    model = create_model(name, num_classes=3, **{**OPTIONS, **options}).eval()
    return Checkpoint(model, ("dark", "middle", "bright"), np.zeros((3, 3), np.uint8))


@pytest.fixture
def started(settings, tmp_path):
    """`started(checkpoint, ...)`: the model of a run that starts there, before training, and its settings."""

    def begin(given, **changes):
        checkpoints.save(tmp_path / "start.safetensors", given)
        chosen = settings(tmp_path / "run", weights=str(tmp_path / "start.safetensors"), **changes)
        return (*start.start_model(chosen, open_dataset(chosen.data)), chosen)

    return begin


def crops_of(settings):
    dataset = open_dataset(settings.data)
    photos = Photos(dataset.split("train"), dataset, long_side=None)
    return TrainingCrops(photos, Augmentation((33, 33), (1, 1), fill=(0, 0, 0), ignore_index=255), settings.seed)


@pytest.mark.parametrize("option", ["align_corners", "pad_to_grid"])
def test_a_start_hands_on_how_its_images_are_resized_and_padded(option):
    model = create_model("deeplabv3", backbone="resnet18", num_classes=2, **{option: False})
    given = Checkpoint(model, ("a", "b"), np.zeros((2, 3), np.uint8))
    settings = TrainSettings(data="data", model="deeplabv3plus", backbone="resnet18", output_stride=16, crf_rnn=False)
    built = start.build_model(settings, given, num_classes=5)
    assert built.arguments[option] is False
    assert built.arguments["num_classes"] == 5


@pytest.mark.parametrize(("rates", "blind"), [((4, 8), None), ((8, 9, 20), "9, 20")])
def test_atrous_rates_that_see_nothing_but_padding_are_told(settings, tmp_path, caplog, rates, blind):
    """A crop of 33 pixels has 9 features at stride 4: at a rate of 8 the outermost ones see each other still."""
    chosen = settings(tmp_path / "run", crop_size=33, output_stride=4, atrous_rates=rates, model="deeplabv3")
    start.start_model(chosen, open_dataset(chosen.data))
    told = f"atrous rates {blind}: a crop of 33 x 33 pixels has 9 x 9 features, so that these see nothing but padding"
    assert [message.startswith(told) for message in caplog.messages] == ([True] if blind else [])


def test_rates_that_still_see_along_one_side_of_a_crop_are_not_told(settings, tmp_path, caplog):
    chosen = settings(tmp_path / "run", crop_size=(33, 65), output_stride=4, atrous_rates=(12,))
    start.start_model(chosen, open_dataset(chosen.data))
    assert not caplog.messages


def test_a_v3plus_that_starts_from_a_v3_has_it_as_its_encoder_and_passes_it_on(started):
    given = folded()
    model, norms, _ = started(given)
    assert model.entry == "deeplabv3plus"
    assert not model.aspp.atrous
    torch.testing.assert_close(model.aspp.state_dict(), given.model.aspp.state_dict())
    torch.testing.assert_close(model.classify.state_dict(), given.model.classify.state_dict())
    assert set(norms) >= {norm for norm in model.decoder[0].decode.modules() if hasattr(norm, "running_mean")}


def test_other_rates_than_those_of_the_start_are_learnt_with_a_decoder_as_any(started):
    model, norms, _ = started(folded(), atrous_rates=(1, 2, 3))
    assert len(model.aspp.atrous) == 3
    assert not {*norms} & {*model.decoder.modules()}


@torch.no_grad()
def test_training_begins_with_what_the_start_computes(started):
    given = folded()
    model, norms, settings = started(given, model="deeplabv3", model_options={"dropout": 0.0})
    crops = crops_of(settings)
    images = torch.cat([*start._some(crops)])
    wanted = model.eval().coarse_logits(images)
    before = (model.train().coarse_logits(images) - wanted).abs().max()
    model, norms, _ = started(given, model="deeplabv3", model_options={"dropout": 0.0})
    start.calibrate(model, norms, crops)
    after = (model.train().coarse_logits(images) - wanted).abs().max()
    assert after < 0.01 * before
    assert not any(is_folded(norm) for norm in norms)


def test_training_measures_first_also_with_a_teacher_and_when_it_is_begun_again(settings, tmp_path, monkeypatch):
    checkpoints.save(tmp_path / "start.safetensors", folded())
    measured = []
    monkeypatch.setattr(run, "calibrate", lambda model, norms, crops: measured.append(len(norms)))
    options = {"weights": str(tmp_path / "start.safetensors"), "epochs": 1, "val_split": "none"}
    train(settings(tmp_path / "run", **options))
    (tmp_path / "run/last.ckpt").unlink()  # as if it had been killed in its first epoch
    train(settings(tmp_path / "run", **options, resume=True))
    assert len(measured) == 2
    assert min(measured) > 50


def test_a_teacher_is_not_asked_before_the_run(settings, tmp_path):
    start_file = tmp_path / "start.safetensors"
    checkpoints.save(start_file, folded())
    options = {"weights": str(start_file), "teacher": str(start_file), "epochs": 1, "val_split": "none"}
    assert train(settings(tmp_path / "run", **options)).is_file()


def test_a_decoder_that_comes_with_the_weights_is_not_made_anew(started):
    given = folded("deeplabv3plus", decoder_channels=16)
    model, _, _ = started(given, model_options={"low_level_channels": 32})
    for name in ("decoder.0.decode.1.depthwise.conv.weight", "decoder.0.decode.1.pointwise.conv.weight"):
        torch.testing.assert_close(model.state_dict()[name], given.model.state_dict()[name])


def test_a_new_head_has_nothing_of_the_start(started):
    given = folded()
    model, norms, _ = started(given, model="deeplabv3", head="new")
    torch.testing.assert_close(model.backbone.state_dict(), given.model.backbone.state_dict())
    assert len(model.aspp.atrous) == 3
    assert not model.classify.weight.equal(given.model.classify.weight)
    assert not {*norms} & {*model.aspp.modules()}


def test_a_v3_with_more_behind_its_aspp_is_no_encoder(started):
    model, norms, _ = started(folded(head_conv=True))
    assert model.arguments.get("aspp_channels", 256) == 256
    assert not {*norms} & {*model.aspp.modules()}


def test_an_encoder_of_ones_own_is_built_as_told(started):
    model, norms, _ = started(folded(), model_options={"dense_prediction_cell": "cityscapes"})
    assert not {*norms} & {*model.aspp.modules()}


@pytest.mark.parametrize("policy", ["freeze", "group"])
def test_without_statistics_of_a_batch_there_is_nothing_to_measure(started, policy):
    assert started(folded(), batch_norm=policy)[1] == []


def test_statistics_of_the_start_stay(started):
    given = folded()
    for module in given.model.modules():
        if hasattr(module, "running_mean"):
            module.running_mean += 0.1
    _, norms, _ = started(given, model="deeplabv3")
    assert norms == []


@pytest.mark.parametrize("options", [{}, {"decoder_separable": False}, {"decoder_convs": 1}])
def test_a_new_decoder_passes_on_what_the_encoder_gives(options):
    torch.manual_seed(0)
    model = create_model("deeplabv3plus", backbone="resnet18", num_classes=3, **options).eval()
    assert start.pass_encoder_on(model)
    images = torch.rand(8, 3, 65, 65)
    with torch.inference_mode():
        features = model.backbone(images)
        given = model.aspp(features.res5)
        passed = model.decoder[0](given, features, align_corners=model.align_corners)
        wanted = resize(given, passed.shape[-2:], align_corners=model.align_corners)
    correlation = torch.corrcoef(torch.stack([passed.flatten(), wanted.flatten()]))[0, 1]
    assert correlation > 0.9


@pytest.mark.parametrize(
    "options",
    [
        {"decoder_merge": "sum"},
        {"decoder_merge": "sum", "decoder_separable": False},
        {"decoder_merge": "sum", "norm_between": False},
        {"decoder_channels": 64},
    ],
)
def test_a_decoder_of_another_form_or_width_stays_as_it_is(options):
    model = create_model("deeplabv3plus", backbone="resnet18", **options)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    assert not start.pass_encoder_on(model)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
