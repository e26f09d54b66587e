from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from deeplab import checkpoints
from deeplab.catalog import entries
from deeplab.checkpoints import Checkpoint, Preprocessing
from deeplab.errors import CheckpointError, InputNotFoundError, OutputError
from deeplab.models import create_model

PALETTE = np.array([[0, 0, 0], [255, 0, 0]], np.uint8)


def checkpoint(name="deeplabv3", **options):
    torch.manual_seed(0)
    model = create_model(name, num_classes=2, **options).eval()
    return Checkpoint(model, ("background", "thing"), PALETTE, Preprocessing(long_side=257), {"epochs": 3})


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "model.safetensors"
    checkpoints.save(path, checkpoint())
    return path


@pytest.mark.parametrize("name", list(entries("models")))
@pytest.mark.parametrize("backbone", ["mobilenetv2", "mobilenet_edgetpu", "resnet18"])
@torch.inference_mode()
def test_a_saved_model_gives_the_same_logits(tmp_path, name, backbone):
    before = checkpoint(name, backbone=backbone, output_stride=8, image_mean=(0.1, 0.2, 0.3))
    checkpoints.save(tmp_path / "m.safetensors", before)
    after = checkpoints.load(tmp_path / "m.safetensors")
    image = torch.rand(1, 3, 40, 30)
    torch.testing.assert_close(after.model(image), before.model(image), rtol=0, atol=0)


@torch.inference_mode()
def test_a_saved_model_ends_in_the_crf_rnn_that_it_had(tmp_path):
    before = checkpoint(backbone="resnet18", crf_rnn=True)
    torch.nn.init.normal_(before.model.crf_rnn.compatibility)
    checkpoints.save(tmp_path / "m.safetensors", before)
    image = torch.rand(1, 3, 40, 30)
    loaded = checkpoints.load(tmp_path / "m.safetensors").model
    torch.testing.assert_close(loaded(image), before.model(image), rtol=0, atol=0)


def test_everything_but_the_weights_comes_back_too(saved):
    loaded = checkpoints.load(saved)
    assert loaded.classes == ("background", "thing")
    assert (loaded.palette == PALETTE).all()
    assert loaded.preprocessing == Preprocessing(long_side=257)
    assert loaded.training == {"epochs": 3}
    assert not loaded.model.training


def test_half_precision_takes_half_the_space_and_loads_as_float32(tmp_path, saved):
    checkpoints.save(tmp_path / "half.safetensors", checkpoint(), half=True)
    assert (tmp_path / "half.safetensors").stat().st_size < 0.55 * saved.stat().st_size
    assert {p.dtype for p in checkpoints.load(tmp_path / "half.safetensors").model.parameters()} == {torch.float32}


def test_a_truncated_file_is_named(saved):
    saved.write_bytes(saved.read_bytes()[:-100])
    with pytest.raises(CheckpointError, match=r"model\.safetensors: not a complete"):
        checkpoints.load(saved)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InputNotFoundError, match="nothing"):
        checkpoints.load(tmp_path / "nothing.safetensors")


def test_a_pickle_is_not_opened(tmp_path):
    torch.save({"a": torch.zeros(1)}, tmp_path / "model.pth")
    with pytest.raises(CheckpointError, match=r"model\.pth: no model file of ours; convert it: deeplab convert .*pth$"):
        checkpoints.load(tmp_path / "model.pth")


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "empty"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\n", "a Git LFS pointer"),
        (b"<!DOCTYPE html>", "a web page"),
    ],
)
def test_a_file_of_another_kind_is_told(tmp_path, content, problem):
    (tmp_path / "model.safetensors").write_bytes(content)
    with pytest.raises(CheckpointError, match=rf"model\.safetensors: {problem}"):
        checkpoints.load(tmp_path / "model.safetensors")


def test_a_folder_is_told(tmp_path):
    with pytest.raises(CheckpointError, match="a folder; name the file of weights in it"):
        checkpoints.load(tmp_path)


def test_weights_of_somebody_else_are_refused(tmp_path):
    save_file({"a": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(CheckpointError, match="without a description"):
        checkpoints.load(tmp_path / "other.safetensors")


def rewritten(path, *, drop=None, change=None, **description):
    """The file again with a tensor dropped or changed, or other entries in its description."""
    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:
        known = json.loads(file.metadata()["deeplab"])
        state = {name: file.get_tensor(name) for name in file.keys() if name != drop}  # noqa: SIM118
    if change:
        state.update(change)
    save_file(state, path, {"deeplab": json.dumps({**known, **description})})


def test_a_missing_tensor_is_named(saved):
    rewritten(saved, drop="classify.bias")
    with pytest.raises(CheckpointError, match=r"classify\.bias is absent in the file and 2 in deeplabv3"):
        checkpoints.load(saved)


def test_a_tensor_too_many_is_named(saved):
    rewritten(saved, change={"classify.scale": torch.zeros(2, 3)})
    with pytest.raises(CheckpointError, match=r"classify\.scale is 2 x 3 in the file and absent"):
        checkpoints.load(saved)


def test_weights_that_are_not_finite_are_refused(saved):
    rewritten(saved, change={"classify.bias": torch.tensor([0.0, torch.nan])})
    with pytest.raises(CheckpointError, match=r"classify\.bias has values that are not finite"):
        checkpoints.load(saved)


def test_a_file_of_a_newer_version_says_upgrade(saved):
    rewritten(saved, format=99)
    with pytest.raises(CheckpointError, match="newer"):
        checkpoints.load(saved)


def test_a_model_that_is_not_there_is_named(saved):
    rewritten(saved, model="deeplabv9")
    with pytest.raises(CheckpointError, match="deeplabv9"):
        checkpoints.load(saved)


@pytest.mark.parametrize(
    ("broken", "problem"),
    [
        ({"palette": [[0, 0, 0]]}, r"palette of shape \(1, 3\); 2 classes need \(2, 3\)"),
        ({"palette": [[0, 0, 300], [0, 0, 0]]}, "does not hold together"),
        ({"preprocessing": {"unknown": 1}}, "does not hold together"),
        ({"classes": ["one"]}, "1 class names for 2 classes"),
        ({"format": "one"}, "does not hold together"),
        ({"arguments": {"num_classes": 2, "aspp_channels": -1}}, "aspp_channels wants whole numbers of at least 1"),
    ],
)
def test_a_description_that_contradicts_itself_is_refused(saved, broken, problem):
    rewritten(saved, **broken)
    with pytest.raises(CheckpointError, match=rf"model\.safetensors: .*{problem}"):
        checkpoints.load(saved)


@pytest.mark.parametrize("description", ["", "{}", "[]"])
def test_a_description_that_is_none_is_refused(tmp_path, description):
    path = tmp_path / "model.safetensors"
    save_file({"a": torch.zeros(1)}, path, {"deeplab": description})
    with pytest.raises(CheckpointError, match=r"model\.safetensors: a description that does not hold together"):
        checkpoints.load(path)


def test_a_full_disk_leaves_the_file_as_it_was(saved):
    resource = pytest.importorskip("resource", reason="needs a limit on the size of files")
    before = saved.read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        with pytest.raises(OutputError, match=r"model\.safetensors: cannot be written"):
            checkpoints.save(saved, checkpoint())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert saved.read_bytes() == before
    assert list(saved.parent.iterdir()) == [saved]


def test_others_may_read_the_file_as_the_umask_says(saved):
    saved.with_name("plain").touch()
    assert saved.stat().st_mode == saved.with_name("plain").stat().st_mode


def test_half_precision_leaves_the_normalisation_exact(tmp_path):
    checkpoints.save(tmp_path / "half.safetensors", checkpoint(backbone="resnet18"), half=True)
    mean = checkpoints.load(tmp_path / "half.safetensors").model.prepare.mean
    torch.testing.assert_close(mean.flatten(), torch.tensor([0.485, 0.456, 0.406]), rtol=0, atol=0)


def test_weights_of_256_values_are_kept_exactly_in_a_quarter_of_the_space(tmp_path, saved):
    given = checkpoint()
    for parameter in given.model.parameters():
        parameter.data = (parameter.data.clamp(-1, 1) * 127).round() / 127
    project = given.model.aspp.project.conv.weight
    project.data = (torch.arange(project.numel()) % 256).reshape(project.shape) / 256  # as many as a byte can number
    small = tmp_path / "small.safetensors"
    checkpoints.save(small, given, half=True)
    assert small.stat().st_size < 0.3 * saved.stat().st_size
    wanted = given.model.state_dict()
    for name, tensor in checkpoints.load(small).model.state_dict().items():
        assert torch.equal(tensor, wanted[name])


@pytest.mark.parametrize("values", [torch.zeros(2), torch.tensor(0.0)])
def test_numbers_without_a_value_are_told(saved, values):
    numbers = torch.full((1, 3), 2, dtype=torch.uint8)
    rewritten(saved, change={"classify.extra": numbers, "classify.extra.values": values})
    with pytest.raises(CheckpointError, match=r"classify\.extra is 1 x 3 in the file and absent"):
        checkpoints.load(saved)
