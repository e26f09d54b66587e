from __future__ import annotations

import shutil

import pytest
import torch

from deeplab.errors import CheckpointError, InputNotFoundError
from deeplab.weights import tensorflow

CASE = "tf_deeplab/mobilenetv2_voc"


@pytest.fixture(scope="module")
def files(shared):
    return shared / "golden" / CASE


def logits(model, image):
    """Those at the network's own stride, (1, h, w, num_classes) as TensorFlow orders them."""
    x = torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255
    with torch.inference_mode():
        return model.coarse_logits(x).permute(0, 2, 3, 1).numpy()


@pytest.mark.parametrize("run", ["os16_65x65", "os16_129x97", "os8_65x65", "os8_129x97"])
def test_logits_are_those_of_the_official_code(files, golden_module, run):
    stride = int(run.partition("_")[0].removeprefix("os"))
    model = tensorflow.convert(files / "model.ckpt", output_stride=stride).checkpoint.model
    recorded = golden_module.run(CASE, run)
    assert golden_module.close(logits(model, recorded["image"]), recorded) < 2e-4


@pytest.fixture(scope="module")
def xception(golden_variables):
    return tensorflow.as_tensors(golden_variables("tf_deeplab/xception65_v3plus"))


@pytest.mark.parametrize("run", ["os16_65x65", "os16_129x97", "os8_65x65"])
def test_logits_of_xception_are_those_of_the_official_code(golden_module, xception, run):
    stride = int(run.partition("_")[0].removeprefix("os"))
    model = tensorflow.source.from_tensors(xception, output_stride=stride, what="golden").checkpoint.model
    recorded = golden_module.run("tf_deeplab/xception65_v3plus", run)
    assert golden_module.close(logits(model, recorded["image"]), recorded) < 2e-4


def test_image_pooling_over_the_crops_window_is_that_of_the_official_code(golden_module, xception):
    options = {"image_pooling_crop_size": (65, 65)}
    model = tensorflow.source.from_tensors(xception, what="golden", **options).checkpoint.model
    recorded = golden_module.run("tf_deeplab/xception65_v3plus", "os16_pool65_in_129x97")
    assert golden_module.close(logits(model, recorded["image"]), recorded) < 2e-4
    whole = tensorflow.source.from_tensors(xception, what="golden").checkpoint.model
    assert golden_module.close(logits(whole, recorded["image"]), recorded) > 2e-4


def test_even_sizes_are_padded_as_tensorflow_pads_them(files, golden_module):
    model = tensorflow.convert(files / "model.ckpt").checkpoint.model
    model.prepare.stride = 1  # the recording was not padded to k * 16 + 1
    recorded = golden_module.run(CASE, "os16_even_image_128x96")
    assert golden_module.close(logits(model, recorded["image"]), recorded) < 2e-4


def test_the_index_file_names_the_checkpoint_too(files):
    converted = tensorflow.convert(files / "model.ckpt.index").checkpoint
    assert converted.classes[15] == "person"
    assert converted.model.arguments["depth_multiplier"] == 1


@pytest.mark.parametrize("kept", [0, 20, 0.5, 0.99])
def test_a_damaged_index_is_said(files, tmp_path, kept):
    whole = (files / "model.ckpt.index").read_bytes()
    (tmp_path / "m.index").write_bytes(whole[: int(kept * len(whole)) if kept < 1 else kept])
    shutil.copy(files / "model.ckpt.data-00000-of-00001", tmp_path / "m.data-00000-of-00001")
    with pytest.raises(CheckpointError, match=r"m\.index: no TensorFlow checkpoint, or a damaged one"):
        tensorflow.convert(tmp_path / "m")


def test_cut_off_data_are_said(files, tmp_path):
    shutil.copy(files / "model.ckpt.index", tmp_path / "m.index")
    whole = (files / "model.ckpt.data-00000-of-00001").read_bytes()
    (tmp_path / "m.data-00000-of-00001").write_bytes(whole[:-1000])
    with pytest.raises(CheckpointError, match="damaged"):
        tensorflow.convert(tmp_path / "m")


def test_missing_files_are_named(files, tmp_path):
    with pytest.raises(InputNotFoundError, match=r"gone\.index"):
        tensorflow.convert(tmp_path / "gone")
    shutil.copy(files / "model.ckpt.index", tmp_path / "m.index")
    with pytest.raises(InputNotFoundError, match=r"m\.data-00000-of-00001"):
        tensorflow.convert(tmp_path / "m")


def test_another_network_is_refused():
    with pytest.raises(CheckpointError, match="'vgg_16/conv1/weights' has no place"):
        tensorflow.source.from_tensors({"vgg_16/conv1/weights": torch.zeros(64, 3, 3, 3)}, what="x")


def test_what_only_training_uses_is_left_behind(xception):
    training = {"global_step": torch.tensor(30000), "logits/semantic/biases/Momentum": torch.zeros(21)}
    converted = tensorflow.source.from_tensors({**xception, **training}, what="golden")
    assert converted.left == tuple(training)
    model = converted.checkpoint.model
    assert (model.entry, model.arguments["backbone"]) == ("deeplabv3plus", "xception65")
