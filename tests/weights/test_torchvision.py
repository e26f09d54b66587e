from __future__ import annotations

import pytest
import torch
from torchvision.models.segmentation import deeplabv3_mobilenet_v3_large

from deeplab.errors import CheckpointError, InputNotFoundError
from deeplab.layers import Prepare
from deeplab.weights import torchvision


@pytest.fixture(scope="module")
def case(golden):
    return golden("torch_torchvision/deeplabv3_resnet50")


@pytest.fixture(scope="module")
def converted(case):
    return torchvision.source.from_tensors(case.state, what="golden").checkpoint


@pytest.mark.parametrize("run", ["dogs_65x65", "harbour_97x129"])
def test_logits_are_those_of_torchvision(case, converted, run):
    assert case.difference(converted.model, run, key="out", full_size=True) < 2e-4  # of the logits' standard deviation


@torch.inference_mode()
def test_logits_on_mobilenetv3_are_those_of_torchvision(seeded):
    theirs = deeplabv3_mobilenet_v3_large(weights=None, weights_backbone=None, num_classes=21, aux_loss=True).eval()
    shapes = {name: tuple(tensor.shape) for name, tensor in theirs.state_dict().items()}
    state = {name: torch.from_numpy(array) for name, array in seeded.state(shapes).items()}
    theirs.load_state_dict(state, strict=False)
    image = torch.from_numpy(seeded.picture(97, 128))
    expected = theirs(image)["out"]
    model = torchvision.source.from_tensors(state, what="test").checkpoint.model
    model.prepare = Prepare([0] * 3, [1] * 3, stride=model.prepare.stride)
    assert (model(image) - expected).abs().max() / expected.std() < 2e-4


def test_a_file_is_read_whatever_wraps_it(case, tmp_path):
    wrapped = {"model": {f"module.{name}": tensor for name, tensor in case.state.items()}, "epoch": 3}
    torch.save(wrapped, tmp_path / "model.pth")
    converted = torchvision.convert(tmp_path / "model.pth").checkpoint
    assert converted.model.arguments["backbone"] == "resnet50"
    assert case.difference(converted.model, "dogs_65x65", key="out", full_size=True) < 2e-4


def test_code_in_a_file_is_not_run(tmp_path):
    class Malicious:
        def __reduce__(self):
            return (tmp_path.joinpath("ran").touch, ())

    torch.save({"classifier.4.bias": Malicious()}, tmp_path / "evil.pth")
    with pytest.raises(CheckpointError, match=r"evil\.pth: holds more than tensors or is damaged"):
        torchvision.convert(tmp_path / "evil.pth")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("content", [b"", b"not a model", b"bad\n", b"\x80\x02}q", b"PK\x03\x04 cut off"])
def test_a_damaged_file_is_said_in_a_line(tmp_path, content):
    (tmp_path / "broken.pth").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"broken\.pth: ") as caught:
        torchvision.convert(tmp_path / "broken.pth")
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there_is_said(tmp_path):
    with pytest.raises(InputNotFoundError, match=r"no weights file .*gone\.pth"):
        torchvision.convert(tmp_path / "gone.pth")


def test_another_network_is_refused():
    with pytest.raises(CheckpointError, match=r"golden: 'features\.0\.weight' has no place"):
        torchvision.source.from_tensors({"features.0.weight": torch.zeros(1)}, what="golden")
