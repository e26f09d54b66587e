"""A run in two processes: the same result as in one, whoever started them, and a line where they do not fit."""

from __future__ import annotations

import csv
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from lightning.pytorch.utilities import rank_zero_only
from PIL import Image
from torch import distributed
from torch.distributed.checkpoint import state_dict  # noqa: F401 (here, not in every process)
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard  # noqa: F401

from deeplab import checkpoints
from deeplab.errors import SettingsError
from deeplab.models import create_model
from deeplab.settings import TrainSettings
from deeplab.training import sharding, train
from deeplab.training.processes import environment_of, is_first
from deeplab.training.record import Record
from deeplab.training.task import SegmentationTask, _average

OPTIONS = {
    **{"loss": "cross_entropy + dice + 0.5*lovasz", "hard_pixels": 0.7, "optimizer": "sgd", "learning_rate": 0.01},
    **{"batch_norm": "freeze", "weights": "objects", "head": "new", "passes": 3},
    **{"epochs": 2, "validate_every": 2, "ema": 0, "on_nan": "skip"},
}
"""Of a run of two epochs of two steps that does not depend on which images share a process; its losses do."""


@pytest.fixture(scope="module")
def partly_labelled(data, tmp_path_factory):
    """The patches, of which some are half ignored, with a third image to validate on: two processes have no half."""
    root = tmp_path_factory.mktemp("partly") / "patches"
    shutil.copytree(data, root)
    for name in ("images", "masks"):
        shutil.copyfile(root / "train" / name / "4.png", root / "val" / name / "2.png")
    for number in (0, 1):
        labels = np.array(Image.open(root / f"train/masks/{number}.png"))
        labels[: len(labels) // 2 + 8] = 255
        Image.fromarray(labels).save(root / f"train/masks/{number}.png")
    return root


def figures(path: Path) -> np.ndarray:
    with path.open(newline="") as file:
        return np.array([[float(value) for value in row] for row in list(csv.reader(file))[1:]])


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return checkpoints.load(folder / "last.safetensors").model.state_dict()


def spoil() -> None:
    """In the second step the loss of this process is not finite."""
    loss = SegmentationTask.loss

    def spoilt(self, logits, batch):
        return loss(self, logits, batch) * (float("nan") if self.global_step == 1 else 1.0)

    SegmentationTask.loss = spoilt


def train_in_two_goes(chosen: TrainSettings) -> Path:
    """Train, be interrupted in the fourth step, and go on."""
    start = Record.on_train_batch_start

    def interrupted(self, trainer, *rest):
        if trainer.global_step == 3:
            raise KeyboardInterrupt
        start(self, trainer, *rest)

    Record.on_train_batch_start = interrupted
    with pytest.raises(KeyboardInterrupt):
        train(chosen)
    Record.on_train_batch_start = start
    return train(replace(chosen, resume=True))


@pytest.fixture(scope="module")
def alone(quick, partly_labelled, tmp_path_factory):
    """The folder of a run in one process, of steps of two batches of four; the second step is skipped."""
    folder = tmp_path_factory.mktemp("alone") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SegmentationTask, "loss", SegmentationTask.loss)  # to be put back
        spoil()
        train(quick(folder, data=partly_labelled, batch_size=4, accumulate=2, **OPTIONS))
    return folder


@pytest.mark.parametrize("options", [{"devices": 2}, {"nodes": 2, "shard": True}], ids=["copies", "two nodes, shares"])
def test_two_processes_do_what_one_does_on_the_same_images(
    alone, in_processes, quick, partly_labelled, tmp_path, monkeypatch, options
):
    monkeypatch.setattr(sharding, "BLOCK", 5_000)
    folder = tmp_path / "run"
    chosen = quick(folder, data=partly_labelled, batch_size=2, accumulate=2, **options, **OPTIONS)

    def run(rank: int) -> Path:
        if rank == 1:  # all of them skip that step
            spoil()
        return train_in_two_goes(chosen)

    assert in_processes(run, nodes=chosen.nodes)[0] == folder / "best.safetensors"
    steps = figures(folder / "steps.csv")
    assert steps[:, 0].tolist() == [0, 2, 3]
    assert steps == pytest.approx(figures(alone / "steps.csv"), rel=1e-4)
    assert np.array_equal(figures(folder / "validation.csv"), figures(alone / "validation.csv"))
    expected, found = weights(alone), weights(folder)
    assert all(torch.allclose(found[name], expected[name], atol=1e-5) for name in expected)


def test_a_process_has_its_share_of_the_weights_and_of_their_mean(in_processes, monkeypatch):
    monkeypatch.setattr(sharding, "BLOCK", 5_000)
    image = torch.rand(1, 3, 33, 33, generator=torch.Generator().manual_seed(0))

    def share(rank: int) -> tuple[float, bool, bool]:
        distributed.init_process_group("gloo", rank=rank, world_size=2)
        options = {"depth_multiplier": 0.25, "aspp_channels": 16, "decoder_channels": 16}
        model, other = (create_model("deeplabv3plus", num_classes=3, **options).eval() for _ in range(2))
        logits, weights = model.coarse_logits(image), [weight.clone() for weight in model.parameters()]
        average = _average(model, decay=0.99)
        for module in (model, average.module):
            sharding.shard(module, init_device_mesh("cpu", (2,)))
        mine = sum(sharding.share_here(weight).numel() for weight in model.parameters())
        same_logits = torch.allclose(model.coarse_logits(image), logits, atol=1e-5)
        sharding.reshard(model)
        average.update_parameters(model)
        with torch.no_grad():
            for weight in model.parameters():
                sharding.share_here(weight).mul_(2)
        average.update_parameters(model)
        sharding.copy_whole(other, average.module)
        pairs = zip(other.parameters(), weights, strict=True)
        same_mean = all(torch.allclose(mean, (1 + 9 / 11) * weight) for mean, weight in pairs)
        distributed.destroy_process_group()
        return mine / sum(weight.numel() for weight in weights), same_logits, same_mean

    for part, same_logits, same_mean in in_processes(share):
        assert 0.45 < part < 0.55
        assert same_logits
        assert same_mean


def test_a_run_in_one_process_needs_nobody(quick, tmp_path, monkeypatch):
    for name in ("RANK", "NODE_RANK", "LOCAL_RANK", "SLURM_PROCID", "SLURM_NTASKS", "TORCHELASTIC_RUN_ID"):
        monkeypatch.delenv(name, raising=False)
    environment = environment_of(quick(tmp_path))
    assert (environment.world_size(), environment.global_rank()) == (1, 0)
    assert is_first()


TORCHRUN = {"TORCHELASTIC_RUN_ID": "1", "RANK": "3", "WORLD_SIZE": "4", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "2"}
SLURM = {"SLURM_NTASKS": "4", "SLURM_NNODES": "2", "SLURM_NTASKS_PER_NODE": "2", "SLURM_STEP_ID": "0"}
SLURM |= {"SLURM_PROCID": "3", "SLURM_LOCALID": "1", "SLURM_NODEID": "1", "SLURM_JOB_NAME": "train"}
BY_HAND = {"MASTER_ADDR": "10.0.0.1", "MASTER_PORT": "29500", "NODE_RANK": "1", "LOCAL_RANK": "1"}


@pytest.mark.parametrize("started", [TORCHRUN, SLURM, BY_HAND], ids=["torchrun", "SLURM", "by hand"])
def test_a_process_knows_its_place_among_those_of_all_machines(quick, tmp_path, monkeypatch, started):
    monkeypatch.setattr(rank_zero_only, "rank", 0)  # to be put back: Lightning sets it
    for name, value in started.items():
        monkeypatch.setenv(name, value)
    environment = environment_of(quick(tmp_path, devices=2, nodes=2))
    assert (environment.world_size(), environment.global_rank(), environment.local_rank()) == (4, 3, 1)
    assert not is_first()


@pytest.mark.parametrize(
    ("started", "changes", "problem"),
    [
        (
            TORCHRUN,
            {},
            "torchrun started 4 processes, 2 on a machine, but --devices 1 and --nodes 1 make 1; give --devices 2",
        ),
        (
            SLURM,
            {"devices": 4},
            "SLURM has 4 processes, 2 on a machine, but --devices 4 and --nodes 1 make 4; give --de",
        ),
        (SLURM | {"SLURM_STEP_ID": None}, {"devices": 2, "nodes": 2}, "srun started none of them; write srun before"),
        (SLURM | {"SLURM_NTASKS_PER_NODE": None}, {"devices": 2, "nodes": 2}, "ask for them by --ntasks-per-node 2"),
        ({}, {"nodes": 2}, "nodes is 2 but neither torchrun nor SLURM started this process; let one of them start it"),
        (
            BY_HAND,
            {"nodes": 2},
            "NODE_RANK is 1 and LOCAL_RANK 1, but there are --nodes 2 of --devices 1, counted",
        ),
    ],
    ids=["torchrun", "SLURM", "no srun", "no tasks per node", "nobody", "by hand"],
)
def test_devices_and_nodes_have_to_be_what_was_started(quick, tmp_path, monkeypatch, started, changes, problem):
    for name, value in started.items():
        if value is None:
            monkeypatch.delenv(name, raising=False)
        else:
            monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=problem):
        environment_of(quick(tmp_path, **changes))


def test_processes_that_would_train_differently_do_not_begin(in_processes, quick, tmp_path):
    def begin(rank: int) -> str:
        try:
            train(quick(tmp_path / "run", devices=2, batch_norm="group", epochs=1 + rank))
        except (SettingsError, RuntimeError) as error:
            return str(error)
        return "trained"

    _, second = in_processes(begin)
    assert second.startswith(
        "epochs is 1 in the first process but 2 in process 1, as their machines are not alike; give"
    )
