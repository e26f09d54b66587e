from __future__ import annotations

from functools import partial
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from deeplab.layers import use_sync_norm
from deeplab.losses import cross_entropy, focal
from deeplab.models import create_model
from deeplab.training.batches import Batch, Epochs
from deeplab.training.optimizers import parameter_groups
from deeplab.training.task import SegmentationTask, to_float


class Small(nn.Module):
    """A weight in the backbone and a normalisation that hardly moves."""

    def __init__(self):
        super().__init__()
        self.backbone = nn.Conv2d(1, 1, 1)
        self.norm = nn.BatchNorm2d(1, momentum=3e-4)


@pytest.fixture
def make_task(settings, tmp_path):
    def make(*, images=2, model=None, ignore_index=255, shares=None, **changes):
        chosen = settings(tmp_path / "run", **changes)
        data = {"samples": (), "num_classes": 2, "ignore_index": ignore_index, "class_weights": shares}
        epochs = Epochs(images, chosen.batch_size, seed=0)
        return SegmentationTask(model or Small(), chosen, **data, epochs=epochs, segmenter=lambda model: None)

    return make


def after(task, value):
    """One step of the task, which left its weight and its running mean at `value`."""
    with torch.no_grad():
        task.model.backbone.weight.fill_(value)
        task.model.norm.running_mean.fill_(value)
    task.on_train_batch_end(None, None, 0)


def test_the_running_mean_begins_with_the_first_step_and_soon_follows_slowly(make_task):
    task = make_task(ema=0.15)
    expected = 1.0
    after(task, 1.0)
    after(task, 2.0)
    expected += (2 - expected) * 0.85  # 2 / 11 of the past would be more than 0.15
    after(task, 5.0)
    expected += (5 - expected) * 0.85
    assert task.best_guess.backbone.weight.item() == pytest.approx(expected)


def test_the_running_mean_of_a_few_steps_forgets_the_first_ones_sooner(make_task):
    task = make_task(ema=0.99)
    after(task, 1.0)
    after(task, 2.0)
    assert task.best_guess.backbone.weight.item() == pytest.approx(1 + 9 / 11)  # decay (1 + 1) / (10 + 1)


def test_statistics_are_averaged_like_weights(make_task):
    task = make_task(ema=0.99)
    after(task, 1.0)
    after(task, 2.0)
    assert task.best_guess.norm.running_mean.item() == pytest.approx(1 + 9 / 11)


def test_without_a_running_mean_the_model_itself_is_the_best_guess(make_task):
    task = make_task(ema=0)
    assert task.best_guess is task.model


def test_a_segmenter_stays_until_the_weights_change(make_task):
    made = []
    task = make_task()
    task.segmenter = lambda model: made.append(model) or SimpleNamespace(labels=lambda image: image)
    for photos in (1, 2):
        task.predict(None)
        task.predict(None)
        assert len(made) == photos
        task.on_train_batch_start(None, 0)


def test_the_running_mean_is_never_in_training_mode_nor_trained(make_task):
    task = make_task().train()
    assert task.model.training
    assert not any(module.training for module in task.best_guess.modules())
    assert not any(parameter.requires_grad for parameter in task.best_guess.parameters())


def test_frozen_normalisation_stays_in_evaluation_mode(make_task):
    task = make_task(batch_norm="freeze").train()
    assert task.model.training
    assert not task.model.norm.training


def test_normalisation_of_a_frozen_stage_stays_in_evaluation_mode(make_task):
    task = make_task()
    assert task.train().model.norm.training
    task.model.norm.requires_grad_(False)
    assert not task.train().model.norm.training


def test_the_rate_that_is_told_is_that_of_the_backbone(make_task):
    task = make_task(epochs=4, learning_rate=1.0, head_multiplier=10.0, warmup_epochs=1, power=1.0)
    assert [task.rate(step) for step in range(5)] == pytest.approx([1 / 2, 1, 2 / 3, 1 / 3, 0])


@pytest.mark.parametrize(
    ("epochs", "momentum"), [(10, 0.1), (10_000, 2e-2), (10_000_000, 3e-4)], ids=["short", "longer", "as in the paper"]
)
def test_statistics_settle_within_the_run(make_task, epochs, momentum):
    task = make_task(epochs=epochs)  # one step an epoch
    task.settle_statistics(epochs - 1)
    assert task.model.norm.momentum == pytest.approx(momentum)


def test_statistics_are_a_plain_mean_of_the_first_steps(make_task):
    task = make_task(epochs=10_000).train()
    means = []
    for step in range(3):
        image = torch.rand(4, 1, 2, 2)
        task.settle_statistics(step)
        task.model.norm(image)
        means.append(image.mean())
    assert task.model.norm.running_mean.item() == pytest.approx(torch.stack(means).mean().item())


def test_statistics_settle_once_processes_share_them(make_task):
    task = make_task(epochs=10_000)
    use_sync_norm(task.model)
    task.settle_statistics(0)
    assert isinstance(task.model.norm, torch.nn.SyncBatchNorm)
    assert task.model.norm.momentum == 1


def test_statistics_with_a_given_momentum_keep_it(make_task):
    task = make_task(epochs=10, batch_norm_momentum=0.25)
    task.settle_statistics(0)
    assert task.model.norm.momentum == 0.25


def test_the_learning_rate_of_the_last_step_is_the_last_above_zero(make_task):
    task = make_task(
        epochs=4, learning_rate=1.0, weight_decay=0.0, warmup_epochs=1, power=1.0, optimizer="sgd", head_multiplier=1
    )
    [optimizer], [entry] = task.configure_optimizers()
    rates = []
    for _ in range(4):
        rates.append(min(group["lr"] for group in optimizer.param_groups))
        optimizer.step()
        entry["scheduler"].step()
    assert rates == pytest.approx([1 / 2, 1, 2 / 3, 1 / 3])
    assert min(group["lr"] for group in optimizer.param_groups) == 0


def test_the_share_of_hard_pixels_falls_over_its_epochs(make_task):
    task = make_task(images=4, batch_size=2, epochs=8, hard_pixels=0.2, hard_pixels_epochs=2)
    assert [task.hard_pixels(step) for step in (0, 2, 4, 5)] == pytest.approx([1, 0.6, 0.2, 0.2])


@pytest.mark.parametrize(
    ("options", "loss"),
    [
        ({"loss": "cross_entropy", "label_smoothing": 0.1}, partial(cross_entropy, label_smoothing=0.1)),
        ({"loss": "focal", "focal_gamma": 3.0}, partial(focal, gamma=3.0)),
    ],
    ids=["cross-entropy", "focal"],
)
def test_the_loss_is_what_the_settings_make_of_it(make_task, options, loss):
    weights = torch.tensor([0.5, 2.0])
    task = make_task(ignore_index=9, shares=weights, loss_divisor="weights", hard_pixels=0.5, **options)
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(1, 2, 8, 8, generator=generator)
    labels = torch.randint(0, 2, (1, 8, 8), generator=generator)
    labels[:, 0] = 9
    wanted = loss(logits, labels, class_weights=weights, hard_pixels=0.5, divisor="weights", ignore_index=9)
    assert task.loss(logits, Batch(None, labels, None, None, (0,))) == wanted


def test_the_optimizer_has_the_rates_and_decays_of_the_settings(make_task):
    model = create_model("deeplabv3", backbone="resnet18", num_classes=2)
    options = {"weight_decay": 0.01, "head_multiplier": 5.0, "layer_decay": 0.5, "bias_multiplier": 2.0}
    task = make_task(model=model, learning_rate=0.1, ema=0, **options)
    [optimizer], _ = task.configure_optimizers()
    found = {each["name"]: (each["initial_lr"], each["weight_decay"]) for each in optimizer.param_groups}
    wanted = parameter_groups(model, learning_rate=0.1, **options)
    assert found == {each["name"]: (each["lr"], each["weight_decay"]) for each in wanted}


def test_white_is_one():
    assert to_float(torch.full((1, 3, 2, 2), 255, dtype=torch.uint8)).unique().tolist() == [1]
