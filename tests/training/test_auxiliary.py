from __future__ import annotations

import math

import pytest
import torch

from deeplab.losses import full_size
from deeplab.models import create_model
from deeplab.training.auxiliary import AuxiliaryHead
from deeplab.training.batches import Batch, Epochs, seeded
from deeplab.training.task import SegmentationTask, to_float


@pytest.fixture
def make_task(settings, tmp_path):
    def make(model="deeplabv3", **changes):
        chosen = settings(tmp_path / "run", **changes)
        torch.manual_seed(0)
        return SegmentationTask(
            create_model(model, backbone="resnet18", num_classes=3),
            chosen,
            samples=(),
            num_classes=3,
            ignore_index=255,
            epochs=Epochs(4, chosen.batch_size, seed=0),
            segmenter=lambda model: None,
        )

    return make


@pytest.fixture
def batch():
    generator = torch.Generator().manual_seed(0)
    image = torch.randint(0, 256, (2, 3, 40, 30), generator=generator, dtype=torch.uint8)
    labels = torch.randint(0, 3, (2, 40, 30), generator=generator)
    return Batch(image, labels, torch.ones(2, 40, 30, dtype=torch.bool), None, (0, 1))


def step(task, batch):
    """The loss of a training step outside a trainer."""
    task.log = lambda *args, **options: None
    task.train()
    return task.training_step(batch, 0)


def test_the_head_has_a_quarter_of_the_channels():
    head = AuxiliaryHead(1024, 21)  # ResNet-101: 256, as torchvision and mmsegmentation have it
    assert head.refine.conv.weight.shape == (256, 1024, 3, 3)
    assert head.classify.weight.shape == (21, 256, 1, 1)
    assert head.dropout.p == 0.1


@pytest.mark.parametrize("model", ["deeplabv3", "deeplabv3plus", "deeplabv2"])
def test_both_heads_give_logits_of_the_image_size(make_task, batch, model):
    logits, auxiliary = make_task(model, auxiliary=0.4).eval().logits(batch.image.float() / 255)
    assert full_size(logits).shape == full_size(auxiliary).shape == (2, 3, 40, 30)


def test_the_second_logits_are_those_of_res4(make_task, batch):
    task = make_task(auxiliary=0.4).eval()
    image = batch.image.float() / 255
    res4 = task.model.backbone(task.model.prepare(image)).res4
    expected = task.model.full_size(task.auxiliary(res4), (40, 30))
    torch.testing.assert_close(full_size(task.logits(image)[1]), expected)


def test_of_several_scales_the_second_head_sees_the_largest(make_task, batch):
    task = make_task("deeplabv2", auxiliary=0.4).eval()
    image = batch.image.float() / 255
    wanted = full_size(task.logits(image)[1])
    task.model.scales = (0.5, 1.0)
    torch.testing.assert_close(full_size(task.logits(image)[1]), wanted)


def test_the_loss_is_the_main_one_and_a_share_of_the_second(make_task, batch):
    task = make_task(auxiliary=0.4)
    loss = step(task, batch)
    torch.manual_seed(seeded(task.settings.seed, 0, -2).initial_seed())  # the dropout of step 0
    main, second = (task.loss(logits, batch) for logits in task.logits(to_float(batch.image)))
    torch.testing.assert_close(loss, main + 0.4 * second)
    assert second.item() == pytest.approx(math.log(3), abs=0.1)  # three classes, of which the new head knows nothing


def test_gradients_reach_both_heads_but_not_the_later_stage_from_the_second(make_task, batch):
    task = make_task(auxiliary=0.4).train()
    _, auxiliary = task.logits(batch.image.float() / 255)
    task.loss(auxiliary, batch).backward()
    assert all(parameter.grad is not None for parameter in task.auxiliary.parameters())
    assert all(parameter.grad is not None for parameter in task.model.backbone.res4.parameters())
    assert all(parameter.grad is None for parameter in task.model.backbone.res5.parameters())
    step(task, batch).backward()
    assert all(parameter.grad is not None for parameter in task.model.parameters())


def test_no_hook_stays_on_the_backbone(make_task, batch):
    task = make_task(auxiliary=0.4)
    step(task, batch)
    assert not task.model.backbone._forward_hooks
