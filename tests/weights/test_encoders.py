from __future__ import annotations

import pytest
import torch
import torchvision
from safetensors.torch import save_file

from deeplab import checkpoints
from deeplab.backbones import create_backbone
from deeplab.errors import CheckpointError
from deeplab.models import create_model
from deeplab.weights import convert, start_from, tensorflow, transfer
from deeplab.weights._source import fill
from deeplab.weights.encoders import _of_family, backbone_in, encoder

SIZE = 97, 65
ALL_HAVE = ("backbone", "image_mean", "image_std")
IMAGENET = [0.485, 0.456, 0.406]


@pytest.fixture
def classifier(seeded):
    """`classifier(network)`: with random weights and random BatchNorm statistics, in evaluation mode."""

    def fill(network):
        shapes = {f"encoder.{name}": tuple(tensor.shape) for name, tensor in network.state_dict().items()}
        state = {name.removeprefix("encoder."): torch.from_numpy(array) for name, array in seeded.state(shapes).items()}
        network.load_state_dict(state, strict=False)
        return network.eval()

    return fill


@torch.inference_mode()
def difference(path, seeded, expected, *, size=SIZE, backbone=None):
    """Of our features from those `expected`, over their standard deviation, at output stride 32."""
    given = encoder(path, backbone=backbone).model
    name = given.arguments["backbone"]
    settings = {key: value for key, value in given.arguments.items() if key not in ALL_HAVE}
    ours = create_backbone(name, output_stride=32, **settings).eval()
    ours.load_state_dict(given.backbone.state_dict())
    features = ours(torch.from_numpy(seeded.picture(*size))).res5
    assert features.shape == expected.shape
    return (features - expected).abs().max() / expected.std()


@pytest.mark.parametrize("name", ["resnet18", "resnet50", "mobilenet_v2", "mobilenet_v3_large", "mobilenet_v3_small"])
@torch.inference_mode()
def test_features_are_those_of_torchvision_s_classifier(name, classifier, seeded, tmp_path):
    theirs = classifier(getattr(torchvision.models, name)())
    torch.save(theirs.state_dict(), tmp_path / "model.pth")
    image = torch.from_numpy(seeded.picture(*SIZE))
    if name.startswith("resnet"):
        features = torch.nn.Sequential(*list(theirs.children())[:-2])(image)
    else:
        features = (theirs.features[:-1] if name == "mobilenet_v2" else theirs.features)(image)
    assert difference(tmp_path / "model.pth", seeded, features) < 2e-4
    assert encoder(tmp_path / "model.pth").model.arguments["image_mean"] == IMAGENET


@torch.inference_mode()
def test_vgg16_has_the_weights_of_torchvision_s(classifier, seeded, tmp_path):
    layers = classifier(torchvision.models.vgg.make_layers(torchvision.models.vgg.cfgs["D"]))
    torch.save({f"features.{name}": tensor for name, tensor in layers.state_dict().items()}, tmp_path / "model.pth")
    given = encoder(tmp_path / "model.pth").model.backbone
    image = torch.from_numpy(seeded.picture(*SIZE))
    torch.testing.assert_close(given.conv1(image), layers[:4](image))
    ours, theirs = ([each for each in net.modules() if isinstance(each, torch.nn.Conv2d)] for net in (given, layers))
    for our, their in zip(ours, theirs, strict=True):
        assert torch.equal(our.weight, their.weight)
        assert torch.equal(our.bias, their.bias)


@pytest.mark.parametrize("name", ["resnet34", "mobilenetv2_050", "mobilenetv2_140", "xception41"])
@torch.inference_mode()
def test_features_are_those_of_timm_s_classifier(name, classifier, seeded, tmp_path):
    timm = pytest.importorskip("timm")
    theirs = classifier(timm.create_model(name))
    save_file(theirs.state_dict(), tmp_path / "model.safetensors")
    image = torch.from_numpy(seeded.picture(*SIZE))
    features = theirs.forward_features(image)
    if name.startswith("mobilenetv2"):
        features = theirs.blocks(theirs.bn1(theirs.conv_stem(image)))
    assert difference(tmp_path / "model.safetensors", seeded, features) < 2e-4


@pytest.mark.parametrize("name", ["resnet18d", "convnext_atto"])
@torch.inference_mode()
def test_a_backbone_of_timm_takes_a_file_of_timm(name, classifier, seeded, tmp_path):
    timm = pytest.importorskip("timm")
    theirs = classifier(timm.create_model(name))
    torch.save(theirs.state_dict(), tmp_path / "model.bin")
    size = 96, 64
    features = theirs.forward_features(torch.from_numpy(seeded.picture(*size)))
    assert difference(tmp_path / "model.bin", seeded, features, size=size, backbone=f"timm/{name}") < 2e-4
    with pytest.raises(CheckpointError, match="tensors of timm/resnet34 are missing"):
        start_from(tmp_path / "model.bin", backbone="timm/resnet34")


@pytest.fixture
def resnet18(classifier, tmp_path):
    torch.save(classifier(torchvision.models.resnet18()).state_dict(), tmp_path / "resnet18.pth")
    return tmp_path / "resnet18.pth"


def test_a_training_starts_from_a_classifier_with_its_normalisation(resnet18):
    start = start_from(resnet18, backbone="resnet18")
    model = create_model("deeplabv3plus", backbone="resnet18", image_mean=(0, 0, 0))
    done = transfer(model, start)
    assert sorted(name for name in model.state_dict() if name.startswith(("backbone.", "prepare."))) == sorted(
        done.copied
    )
    torch.testing.assert_close(model.backbone.state_dict(), start.model.backbone.state_dict())
    assert model.arguments["image_mean"] == IMAGENET


def test_a_training_starts_from_a_segmentation_model_of_another_system(recording, tmp_path):
    torch.save(recording("smp_v3_r18_os8").state, tmp_path / "model.pth")
    start = start_from(tmp_path / "model.pth", backbone="resnet18")
    assert (start.model.entry, start.training["source"]) == ("deeplabv3", "smp")


def test_a_training_starts_from_a_model_of_ours(tmp_path):
    model = create_model("deeplabv3", depth_multiplier=0.35, num_classes=2)
    own = checkpoints.Checkpoint(model, ("a", "b"), torch.zeros(2, 3, dtype=torch.uint8).numpy())
    checkpoints.save(tmp_path / "own.safetensors", own)
    assert start_from(tmp_path / "own.safetensors", backbone="mobilenetv2").classes == ("a", "b")
    (tmp_path / "cut.safetensors").write_bytes((tmp_path / "own.safetensors").read_bytes()[:1000])
    with pytest.raises(CheckpointError, match="cannot be read as safetensors"):
        start_from(tmp_path / "cut.safetensors", backbone="mobilenetv2")


def test_a_classifier_is_no_segmentation_model_and_says_what_it_is_for(resnet18):
    assert backbone_in(resnet18) == "resnet18"
    with pytest.raises(CheckpointError, match=r"no segmentation; train from it: .*--backbone resnet18 --weights"):
        convert(resnet18)


def test_an_unknown_classifier_is_refused(tmp_path):
    torch.save({"fc.weight": torch.zeros(2, 2)}, tmp_path / "model.pth")
    with pytest.raises(CheckpointError, match="no backbone of an image classifier"):
        encoder(tmp_path / "model.pth")


@torch.inference_mode()
def test_the_official_code_s_classifiers_are_a_start_too(golden_variables):
    variables = golden_variables("tf_deeplab/resnet101beta_v3plus")
    found = tensorflow.as_tensors(variables)
    whole = tensorflow.source.from_tensors(found, what="golden").checkpoint.model
    heads = ("aspp", "image_pooling", "concat_projection", "decoder", "logits")
    classifier = {name: tensor for name, tensor in found.items() if not name.startswith(heads)}
    classifier["resnet_v1_101/logits/weights"] = torch.zeros(1001, 2048, 1, 1)
    classifier["global_step"] = torch.tensor(1)
    model, tensors = _of_family(classifier, what="golden")
    fill(model, tensors, what="golden")
    torch.testing.assert_close(dict(model.backbone.state_dict()), dict(whole.backbone.state_dict()))
