from __future__ import annotations

from argparse import Namespace
from collections import defaultdict
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from deeplab.errors import CheckpointError
from deeplab.weights import _state, convert, start_from
from deeplab.weights._state import read_state

STATE = {"conv.weight": torch.ones(2), "norm.bias": torch.ones(3)}
MEAN = {name: tensor * 2 for name, tensor in STATE.items()}


def under(prefix, state):
    return {prefix + name: tensor for name, tensor in state.items()}


@pytest.fixture
def read(tmp_path):
    """`read(content)`: what is read of a file with this content."""

    def write(content):
        torch.save(content, tmp_path / "x.pth")
        return read_state(tmp_path / "x.pth")

    return write


@pytest.mark.parametrize(
    "content",
    [
        STATE,
        {"state_dict": STATE, "epoch": 3},
        {"model": {"state_dict": STATE}, "optimizer": {"state": {}}},
        {"state_dict": {"model": {"model_state": STATE}}},
        under("module.", STATE),
        under("module.module.", STATE),
        under("module._orig_mod.", STATE),
        {"state_dict": under("model.", STATE), "pytorch-lightning_version": "2.6"},
        {"model_ema": STATE, "epoch": 3},
        {"ema": under("module.", STATE)},
        under("module.ema.", STATE),
        under("model_ema.", STATE),
    ],
)
def test_what_training_puts_around_and_before_the_weights_is_taken_off(read, content):
    found = read(content)
    assert found.keys() == STATE.keys()
    assert all(tensor.equal(STATE[name]) for name, tensor in found.items())


def test_the_counter_of_an_averaged_model_has_no_prefix(read):
    assert read({**under("module.", STATE), "n_averaged": torch.tensor(3)}).keys() == {*STATE, "n_averaged"}


def test_a_word_that_only_some_names_begin_with_stays(read):
    state = {"model.conv.weight": torch.ones(2), "loss.weight": torch.ones(2)}
    assert read(state).keys() == state.keys()


@pytest.mark.parametrize(
    ("content", "left"),
    [
        ({"state_dict": STATE, "state_dict_ema": MEAN}, under("state_dict_ema.", MEAN)),
        ({"model": under("module.", STATE), "model_ema": under("module.", MEAN)}, under("model_ema.module.", MEAN)),
        ({**STATE, **under("module.ema.", MEAN)}, under("module.ema.", MEAN)),
        ({**STATE, "ema_conv_weight": torch.ones(2) * 2}, {"ema_conv_weight": torch.ones(2) * 2}),
    ],
)
def test_a_running_mean_beside_the_weights_keeps_its_name(read, content, left):
    found = read(content)
    assert found.keys() == {*STATE, *left}
    assert all(tensor.equal({**STATE, **left}[name]) for name, tensor in found.items())


@pytest.mark.parametrize(
    "beside",
    [
        Namespace(lr=0.1, data=Path("images"), sizes=[1, 2]),
        Path("images"),
        defaultdict(dict, {"conv": {"lr": 0.1}}),
        defaultdict(list, {"loss": [0.5]}),
        defaultdict(int),
    ],
)
def test_what_a_training_script_keeps_beside_the_weights_is_no_obstacle(read, beside):
    for content in ({"model": STATE, "args": beside}, {"state_dict": STATE, "best": {"args": beside}}):
        assert read(content).keys() == STATE.keys()


def test_a_wrapper_that_holds_itself_ends(read):
    content = {"epoch": 3}
    content["model"] = content
    with pytest.raises(CheckpointError, match="no weights in it"):
        read(content)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_a_file_is_read_once_however_many_systems_are_tried(tmp_path, monkeypatch, suffix):
    torch.save(STATE, tmp_path / "x.pth")
    save_file(STATE, tmp_path / "x.safetensors")
    read = []
    for module, name in ((torch, "load"), (_state, "load_file")):
        load = getattr(module, name)
        monkeypatch.setattr(module, name, lambda *args, load=load, **options: read.append(1) or load(*args, **options))
    for use in (convert, lambda path: start_from(path, backbone="resnet50")):
        read.clear()
        with pytest.raises(CheckpointError, match="of none of the systems that we read"):
            use(tmp_path / f"x{suffix}")
        assert len(read) == 1


def test_safetensors_are_read_alike(tmp_path):
    save_file(under("module.", STATE), tmp_path / "x.safetensors")
    assert read_state(tmp_path / "x.safetensors").keys() == STATE.keys()
