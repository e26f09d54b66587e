from __future__ import annotations

import re
import shutil

import numpy as np
import pytest
import torch

from deeplab.errors import CheckpointError, InputNotFoundError
from deeplab.models import create_model
from deeplab.weights import tensorflow
from deeplab.weights._tf_graph import output_stride

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


@pytest.mark.parametrize(
    "case, run",
    [
        ("resnet101beta_v3plus", "os16_65x65"),
        ("resnet101beta_v3plus", "os8_129x97"),
        ("xception71_dpc", "os16_129x129"),
        ("xception71_dpc", "os8_129x129"),
    ],
)
def test_logits_of_the_other_networks_are_those_of_the_official_code(golden_module, golden_variables, case, run):
    variables = tensorflow.as_tensors(golden_variables(f"tf_deeplab/{case}"))
    stride = int(run.partition("_")[0].removeprefix("os"))
    model = tensorflow.source.from_tensors(variables, what="golden", output_stride=stride).checkpoint.model
    recorded = golden_module.run(f"tf_deeplab/{case}", run)
    assert golden_module.close(logits(model, recorded["image"]), recorded) < 2e-4


def test_logits_of_mobilenetv3_are_those_of_the_official_code(shared, golden_module):
    case = "tf_deeplab/mobilenetv3_small_seg"
    converted = tensorflow.convert(shared / "golden" / case / "model.ckpt")
    model = converted.checkpoint.model
    assert model.arguments["image_pooling_crop_size"] == (769, 769)
    assert converted.checkpoint.preprocessing.long_side is None  # Cityscapes is seen whole
    model.aspp.pooling_window = (5, 5)  # the recording's crop of 129 pixels
    recorded = golden_module.run(case, "os32_257x385_pool129")
    assert golden_module.close(logits(model, recorded["image"]), recorded) < 2e-4


@pytest.mark.parametrize("size", ["129x129", "60x111"])
def test_labels_of_a_frozen_graph_are_those_of_the_official_export(shared, size):
    folder = shared / "golden/tf_frozen/mobilenetv2_dm05_voc"
    model = tensorflow.convert(folder / "single_scale_crop129_os8.pb").checkpoint.model
    assert model.arguments["output_stride"] == 8
    with np.load(folder / "single_scale_crop129_os8.npz") as recorded:
        image, labels = recorded[f"{size}_image"], recorded[f"{size}_labels"]
        places, expected = recorded[f"{size}_prob_index"], recorded[f"{size}_prob"]
    height, width = labels.shape
    crop = np.full((129, 129, 3), 127.5, np.float32)  # the graph pads to its crop
    crop[:height, :width] = image
    with torch.inference_mode():
        out = model(torch.from_numpy(crop).permute(2, 0, 1)[None] / 255)[0, :, :height, :width]
    assert (out.argmax(dim=0).numpy() == labels).mean() > 0.999
    probabilities = out.softmax(dim=0).permute(1, 2, 0).numpy().ravel()[places]
    np.testing.assert_allclose(probabilities, expected, atol=1e-5)


def varint(number):
    return bytes([number]) if number < 128 else bytes([number & 127 | 128]) + varint(number >> 7)


def field(number, content):
    """A field of a protocol buffer, with its length."""
    return varint(number << 3 | 2) + varint(len(content)) + content


def node(name, operation, key, value):
    """An operation of a GraphDef with one attribute."""
    attribute = field(1, key.encode()) + field(2, value)
    return field(1, field(1, name.encode()) + field(2, operation.encode()) + field(5, attribute))


def strides(stride):
    return field(1, field(3, bytes([1, stride, stride, 1])))


@pytest.mark.parametrize("stride", [8, 16, 32])
def test_a_frozen_resnet_strides_by_its_pooling_too(tmp_path, stride):
    scope = "resnet_v1_101"
    one = (
        varint(1 << 3) + varint(1) + field(2, field(2, varint(1 << 3) + varint(1))) + field(4, np.float32(1).tobytes())
    )
    graph = node(f"{scope}/conv1_1/BatchNorm/gamma", "Const", "value", field(8, one))
    graph += node(f"{scope}/conv1_1/Conv2D", "Conv2D", "strides", strides(2))
    graph += node(f"{scope}/pool1/MaxPool", "MaxPool", "strides", strides(2))
    for block, units, before in ((1, 3, 4), (2, 4, 8), (3, 23, 16)):
        unit = f"{scope}/block{block}/unit_{units}/bottleneck_v1"
        graph += node(f"{unit}/shortcut/MaxPool", "MaxPool", "strides", strides(2 if before < stride else 1))
        graph += node(f"{unit}/conv2/Conv2D", "Conv2D", "strides", strides(2 if before < stride else 1))
    (tmp_path / "g.pb").write_bytes(graph)
    assert output_stride(tmp_path / "g.pb") == stride


def test_a_damaged_graph_is_said(shared, tmp_path):
    whole = (shared / "golden/tf_frozen/mobilenetv2_dm05_voc/single_scale_crop129_os8.pb").read_bytes()
    for content in (b"", b"nonsense", whole[:-100_000], whole[:5000]):
        (tmp_path / "g.pb").write_bytes(content)
        with pytest.raises(CheckpointError, match=r"g\.pb: ") as caught:
            tensorflow.convert(tmp_path / "g.pb")
        assert "\n" not in str(caught.value)


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
    assert converted.preprocessing.long_side == 513
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


def built_as_it_is(state):
    """The arguments that `network` finds for our own tensors, and whether they build the same shapes."""
    state = {name: tensor for name, tensor in state.items() if not name.startswith("prepare.")}
    arguments = tensorflow.network(state)
    built = create_model(**arguments, num_classes=21).state_dict()
    return arguments, all(built[name].shape == tensor.shape for name, tensor in state.items())


@pytest.mark.parametrize("multiplier", [0.25, 0.35, 0.5, 0.75, 1.0, 1.3, 1.4])
@pytest.mark.parametrize("divisible_by", [1, 8])
def test_the_width_of_a_mobilenetv2_is_told_where_its_stem_is_rounded(multiplier, divisible_by):
    options = {"depth_multiplier": multiplier, "divisible_by": divisible_by, "atrous_rates": ()}
    arguments, same = built_as_it_is(create_model("deeplabv3", backbone="mobilenetv2", **options).state_dict())
    assert same
    assert arguments["depth_multiplier"] == multiplier


@pytest.mark.parametrize("backbone", ["mobilenetv3_large", "mobilenetv3_small"])
@pytest.mark.parametrize("multiplier", [0.75, 1.0, 1.25])
def test_the_width_of_a_mobilenetv3_is_told_where_its_stem_is_rounded(backbone, multiplier):
    options = {"depth_multiplier": multiplier, "output_stride": 32}
    arguments, same = built_as_it_is(create_model("deeplabv3", backbone=backbone, **options).state_dict())
    assert same
    assert (arguments["backbone"], arguments["depth_multiplier"]) == (backbone, multiplier)


def test_what_only_training_uses_is_left_behind(xception):
    training = {"global_step": torch.tensor(30000), "logits/semantic/biases/Momentum": torch.zeros(21)}
    converted = tensorflow.source.from_tensors({**xception, **training}, what="golden")
    assert converted.left == tuple(training)
    model = converted.checkpoint.model
    assert (model.entry, model.arguments["backbone"]) == ("deeplabv3plus", "xception65")


def test_a_plain_resnet_keeps_its_7x7_and_its_mean(golden_variables):
    """Its checkpoint is not among the recordings: the beta's, with one stem in the place of three."""
    beta = tensorflow.as_tensors(golden_variables("tf_deeplab/resnet101beta_v3plus"))
    stem = {name.replace("conv1_1", "conv1"): tensor for name, tensor in beta.items() if "/conv1_1/" in name}
    stem["resnet_v1_101/conv1/weights"] = torch.zeros(64, 3, 7, 7)
    plain = {name: tensor for name, tensor in beta.items() if not re.search("/conv1_[123]/", name)} | stem
    shortcut = "resnet_v1_101/block1/unit_1/bottleneck_v1/"
    for layer in ("conv1", "shortcut"):  # these read 64 channels then, not 128
        plain[f"{shortcut}{layer}/weights"] = plain[f"{shortcut}{layer}/weights"][:, :64]
    arguments = tensorflow.source.from_tensors(plain, what="golden").checkpoint.model.arguments
    assert arguments["stem_channels"] == (64,)
    assert arguments["image_mean"][0] == pytest.approx(123.15 / 255)
    assert arguments["image_std"] == [1 / 255] * 3
    assert arguments["multi_grid"] is None


@pytest.mark.parametrize(
    ("num_classes", "backbone", "wanted"),
    [(21, "mobilenetv2", 513), (21, "xception65", 513), (19, "xception71", None), (151, "mobilenetv2", 257)],
)
def test_images_are_seen_at_the_size_of_the_official_evaluation(num_classes, backbone, wanted):
    assert tensorflow.long_side({"num_classes": num_classes, "backbone": backbone}) == wanted
