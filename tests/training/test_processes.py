"""A run in two processes: the same result as in one, whoever started them, and a line where they do not fit."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from lightning.pytorch.utilities import rank_zero_only
from PIL import Image

from deeplab import checkpoints
from deeplab.errors import SettingsError
from deeplab.training import report, train
from deeplab.training.processes import environment_of, is_first

OPTIONS = {
    **{"batch_norm": "freeze", "model_options": {"dropout": 0.0}, "optimizer": "sgd", "learning_rate": 0.01},
    **{"loss": "cross_entropy + dice + 0.5*lovasz", "hard_pixels": 0.7, "epochs": 1, "passes": 3},
}
"""Of a run that does not depend on which images share a process; all of its losses do."""


@pytest.fixture(scope="module", autouse=True)
def _no_pictures():
    """Which take longer than the runs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(report, "draw_curves", lambda folder: None)
        patch.setattr(report, "draw_samples", lambda *arguments, **options: None)
        yield


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


@pytest.fixture(scope="module")
def alone(settings, partly_labelled, tmp_path_factory):
    """The folder of a run in one process, of steps of two batches of four."""
    folder = tmp_path_factory.mktemp("alone") / "run"
    train(settings(folder, data=partly_labelled, batch_size=4, accumulate=2, **OPTIONS))
    return folder


@pytest.mark.parametrize("nodes", [1, 2])
def test_two_processes_do_what_one_does_on_the_same_images(
    alone, in_processes, settings, partly_labelled, tmp_path, nodes
):
    folder = tmp_path / "run"
    devices = {"devices": 2 // nodes, "nodes": nodes}
    options = {"data": partly_labelled, "batch_size": 2, "accumulate": 2, **devices, **OPTIONS}
    best, _ = in_processes(lambda rank: train(settings(folder, **options)), nodes=nodes)
    assert best == folder / "best.safetensors"
    assert figures(folder / "steps.csv") == pytest.approx(figures(alone / "steps.csv"), rel=1e-4)
    assert np.array_equal(figures(folder / "validation.csv"), figures(alone / "validation.csv"))
    expected, found = weights(alone), weights(folder)
    assert all(torch.allclose(found[name], expected[name], atol=1e-5) for name in expected)


def test_a_run_in_one_process_needs_nobody(settings, tmp_path, monkeypatch):
    for name in ("RANK", "NODE_RANK", "LOCAL_RANK", "SLURM_PROCID", "SLURM_NTASKS", "TORCHELASTIC_RUN_ID"):
        monkeypatch.delenv(name, raising=False)
    environment = environment_of(settings(tmp_path))
    assert (environment.world_size(), environment.global_rank()) == (1, 0)
    assert is_first()


TORCHRUN = {"TORCHELASTIC_RUN_ID": "1", "RANK": "3", "WORLD_SIZE": "4", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "2"}
SLURM = {"SLURM_NTASKS": "4", "SLURM_NNODES": "2", "SLURM_NTASKS_PER_NODE": "2", "SLURM_STEP_ID": "0"}
SLURM |= {"SLURM_PROCID": "3", "SLURM_LOCALID": "1", "SLURM_NODEID": "1", "SLURM_JOB_NAME": "train"}
BY_HAND = {"MASTER_ADDR": "10.0.0.1", "MASTER_PORT": "29500", "NODE_RANK": "1", "LOCAL_RANK": "1"}


@pytest.mark.parametrize("started", [TORCHRUN, SLURM, BY_HAND], ids=["torchrun", "SLURM", "by hand"])
def test_a_process_knows_its_place_among_those_of_all_machines(settings, tmp_path, monkeypatch, started):
    monkeypatch.setattr(rank_zero_only, "rank", 0)  # to be put back: Lightning sets it
    for name, value in started.items():
        monkeypatch.setenv(name, value)
    environment = environment_of(settings(tmp_path, devices=2, nodes=2))
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
    ],
    ids=["torchrun", "SLURM", "no srun", "no tasks per node", "nobody"],
)
def test_devices_and_nodes_have_to_be_what_was_started(settings, tmp_path, monkeypatch, started, changes, problem):
    for name, value in started.items():
        if value is None:
            monkeypatch.delenv(name, raising=False)
        else:
            monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=problem):
        environment_of(settings(tmp_path, **changes))


def test_processes_that_would_train_differently_do_not_begin(in_processes, settings, tmp_path):
    def begin(rank: int) -> str:
        try:
            train(settings(tmp_path / "run", devices=2, batch_norm="freeze", epochs=1 + rank))
        except (SettingsError, RuntimeError) as error:
            return str(error)
        return "trained"

    _, second = in_processes(begin)
    assert second.startswith(
        "epochs is 1 in the first process but 2 in process 1, as their machines are not alike; give"
    )
