"""What becomes of a step whose loss or gradient is not finite."""

from __future__ import annotations

import logging

import numpy as np
import pytest
import torch

from deeplab import checkpoints
from deeplab.errors import TrainingError
from deeplab.layers import Classify
from deeplab.training import guard, run, train
from deeplab.training.task import SegmentationTask

NAN = float("nan")


@pytest.fixture
def short(settings):
    """`short(output, **changes)`: settings of one epoch of three steps without validation."""

    def make(output, **changes):
        return settings(output, **{"epochs": 1, "val_split": "none", **changes})

    return make


@pytest.fixture
def spoil(monkeypatch):
    """`spoil(steps, how)`: at these steps the loss becomes `how(loss, logits)`, nan unless told otherwise."""
    loss = SegmentationTask.loss

    def at(steps, how=lambda loss, logits: loss * NAN):
        def spoilt(self, logits, batch):
            value = loss(self, logits, batch)
            return how(value, logits) if self.global_step in steps else value

        monkeypatch.setattr(SegmentationTask, "loss", spoilt)

    return at


def test_it_stops_the_run_and_names_step_files_and_the_kept_batch(short, tmp_path, spoil):
    spoil({1})
    folder = tmp_path / "run"
    with pytest.raises(TrainingError) as error:
        train(short(folder))
    told = str(error.value)
    assert told.startswith("the loss is nan at step 1 on ")
    assert f"(kept in {folder}/bad_step_1.npz): the outputs of all layers are finite, the loss of them is not" in told
    assert told.endswith("; lower --learning-rate or go on by --resume --on-nan skip")
    assert "\n" not in told
    kept = np.load(folder / "bad_step_1.npz")
    assert (kept["image"].shape, kept["image"].dtype) == ((2, 3, 17, 17), np.uint8)
    assert kept["labels"].shape == (2, 17, 17)
    assert kept["step"] == 1
    assert np.isnan(kept["loss"])
    assert all(name in told for name in kept["files"].tolist())
    assert {path.name for path in folder.iterdir()} == {
        "config.yaml",
        "fingerprint.json",
        "tensorboard",
        "bad_step_1.npz",
    }


def test_full_precision_is_the_advice_to_a_run_that_has_less(short, tmp_path, spoil):
    spoil({0})
    with pytest.raises(
        TrainingError, match="; lower --learning-rate or train with --precision 32 or go on by --resume"
    ):
        train(short(tmp_path / "run", precision="bf16"))


def test_a_skipped_step_changes_nothing(short, data, tmp_path, spoil, caplog):
    caplog.set_level(logging.INFO, "deeplab")
    spoil({0, 1, 2})
    chosen = short(tmp_path / "run", on_nan="skip", ema=0)
    train(chosen)
    after = checkpoints.load(tmp_path / "run/last.safetensors").model.state_dict()
    before = run.start_model(chosen, run._open(chosen))[0].state_dict()
    assert all(torch.equal(after[name], before[name]) for name in before)
    assert sum(message.startswith("step skipped: the loss is nan at step") for message in caplog.messages) == 3
    assert not (tmp_path / "run/steps.csv").exists()


def test_a_stopped_run_goes_on_by_skipping_as_if_it_had_skipped_at_once(short, tmp_path, spoil):
    spoil({4})
    train(short(tmp_path / "whole", on_nan="skip", epochs=2))
    with pytest.raises(TrainingError, match="at step 4"):
        train(short(tmp_path / "run", epochs=2))
    best = train(short(tmp_path / "run", epochs=2, on_nan="skip", resume=True))
    steps = (tmp_path / "run/steps.csv").read_text()
    assert steps == (tmp_path / "whole/steps.csv").read_text()
    assert [line.split(",")[0] for line in steps.splitlines()] == ["step", "0", "1", "2", "3", "5"]
    resumed, whole = (checkpoints.load(path).model for path in (best, tmp_path / "whole" / best.name))
    assert all(torch.equal(*pair) for pair in zip(resumed.parameters(), whole.parameters(), strict=True))


def test_too_many_in_a_row_stop_the_run(short, tmp_path, spoil, monkeypatch):
    monkeypatch.setattr(guard, "SKIPPED_IN_A_ROW", 2)
    monkeypatch.setattr(guard, "KEPT_BATCHES", 1)
    spoil({1, 2})
    with pytest.raises(TrainingError, match=r"^2 steps in a row were not finite, .* the loss is nan at step 2"):
        train(short(tmp_path / "run", on_nan="skip"))
    assert [path.name for path in (tmp_path / "run").glob("bad_step*")] == ["bad_step_1.npz"]


def test_skipped_steps_in_a_row_are_counted_on_in_a_resumed_run(tmp_path):
    before, after = (guard.Guard(tmp_path, on_nan="skip") for _ in range(2))
    before.in_a_row = 7
    after.load_state_dict(before.state_dict())
    assert after.in_a_row == 7


def test_a_gradient_that_is_not_finite_never_reaches_the_weights(short, tmp_path, spoil):
    def bad_gradient(loss, logits):
        logits.coarse.register_hook(lambda gradient: gradient * NAN)
        return loss

    spoil({0}, bad_gradient)
    with pytest.raises(TrainingError, match=r"the loss is \d.* the gradient is not; the first one back is classify"):
        train(short(tmp_path / "run"))


def test_the_first_layer_whose_output_is_not_finite_is_named(short, tmp_path, monkeypatch):
    forward = Classify.forward
    monkeypatch.setattr(Classify, "forward", lambda self, x: forward(self, x) * float("inf"))
    with pytest.raises(TrainingError, match="the first layer whose output is not finite is classify;"):
        train(short(tmp_path / "run"))


def test_weights_that_are_not_finite_are_told_apart_and_stop_even_a_run_that_skips(short, tmp_path, monkeypatch):
    start = run.start_model

    def broken(*arguments):
        model, norms = start(*arguments)
        with torch.no_grad():
            model.backbone.stem.conv.weight[0, 0, 0, 0] = NAN
        return model, norms

    monkeypatch.setattr(run, "start_model", broken)
    with pytest.raises(TrainingError, match=r"the weights backbone\.stem\.conv\.weight are not finite; start from"):
        train(short(tmp_path / "run", on_nan="skip"))


def test_a_batch_that_cannot_be_kept_does_not_hide_the_reason(short, tmp_path, spoil, monkeypatch):
    def full(*arguments, **keywords):
        raise OSError(28, "No space left on device")

    spoil({0})
    monkeypatch.setattr(guard.np, "savez_compressed", full)
    with pytest.raises(TrainingError, match=r"the loss is nan at step 0 on [^()]*: the outputs"):
        train(short(tmp_path / "run"))
    assert not list((tmp_path / "run").glob("*.npz"))
