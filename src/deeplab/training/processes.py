"""The processes of a run: which of them this one is, as torchrun, SLURM or Lightning's own launcher says."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from deeplab.errors import SettingsError
from deeplab.settings import TrainSettings

if TYPE_CHECKING:
    from lightning.fabric.plugins.environments.cluster_environment import ClusterEnvironment

__all__ = ["environment_of", "is_first"]


def is_first() -> bool:
    """Whether this process is the first of its run, or the only one; known before anything is loaded."""
    return all(os.environ.get(name) in (None, "", "0") for name in ("RANK", "SLURM_PROCID", "NODE_RANK", "LOCAL_RANK"))


def environment_of(settings: TrainSettings) -> ClusterEnvironment:
    """How the processes find each other: by torchrun or SLURM where one of them started this one, else by Lightning.

    Lightning starts the other processes of one machine itself.

    Raises:
        SettingsError: There are not `devices` processes on each of `nodes` machines.
    """
    from lightning.fabric.plugins.environments.lightning import LightningEnvironment
    from lightning.fabric.plugins.environments.slurm import SLURMEnvironment
    from lightning.fabric.plugins.environments.torchelastic import TorchElasticEnvironment

    if TorchElasticEnvironment.detect():
        devices = int(os.environ["LOCAL_WORLD_SIZE"])
        _check(settings, "torchrun started", devices=devices, nodes=int(os.environ["WORLD_SIZE"]) // devices)
        return TorchElasticEnvironment()
    tasks = int(os.environ.get("SLURM_NTASKS", 1))
    if tasks > 1 and os.environ.get("SLURM_JOB_NAME") not in ("bash", "interactive"):
        nodes = int(os.environ.get("SLURM_NNODES", 1))
        _check(settings, "SLURM has", devices=tasks // nodes, nodes=nodes)
        if "SLURM_STEP_ID" not in os.environ:
            raise SettingsError(f"SLURM has {tasks} tasks but srun started none of them; write srun before the command")
        if "SLURM_NTASKS_PER_NODE" not in os.environ:
            raise SettingsError(f"SLURM has {tasks} tasks; ask for them by --ntasks-per-node {tasks // nodes}")
        return SLURMEnvironment(auto_requeue=False)  # a run goes on from its own state, by --resume
    if settings.nodes > 1 and not {"MASTER_ADDR", "MASTER_PORT", "NODE_RANK"} <= os.environ.keys():
        raise SettingsError(
            f"nodes is {settings.nodes} but neither torchrun nor SLURM started this process; let one of them start it "
            "on every machine, or set MASTER_ADDR, MASTER_PORT and NODE_RANK there"
        )
    environment = LightningEnvironment()
    node, local = environment.node_rank(), environment.local_rank()
    if node >= settings.nodes or local >= settings.devices:
        raise SettingsError(
            f"NODE_RANK is {node} and LOCAL_RANK {local}, but there are --nodes {settings.nodes} of --devices "
            f"{settings.devices}, counted from 0; correct one or the other"
        )
    environment.set_world_size(settings.processes)
    environment.set_global_rank(node * settings.devices + local)
    return environment


def _check(settings: TrainSettings, who: str, *, devices: int, nodes: int) -> None:
    if (devices, nodes) != (settings.devices, settings.nodes):
        raise SettingsError(
            f"{who} {devices * nodes} processes, {devices} on a machine, but --devices {settings.devices} and --nodes "
            f"{settings.nodes} make {settings.processes}; give --devices {devices} --nodes {nodes}"
        )
