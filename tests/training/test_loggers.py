"""Figures of a run in Weights & Biases and MLflow, of which stand-ins are here; no test installs the two."""

from __future__ import annotations

import sys
from types import ModuleType

import pytest
from lightning.pytorch.loggers import Logger

from deeplab.errors import MissingExtraError, SettingsError
from deeplab.training import loggers, train
from deeplab.training.record import Record


class StandIn(Logger):
    """A logger that keeps what it is told; `made` has all of them."""

    made: list[StandIn]

    def __init__(self, *names, **options):
        self.names, self.options = names, options
        self.told: list[dict] = []
        self.hyperparams: dict | None = None
        self.exit_code: int | None = None
        self.made.append(self)

    @property
    def name(self):
        return self.names[0]

    @property
    def version(self):
        return self.options.get("id") or self.options.get("run_id") or f"run {len(self.made)}"

    @property
    def experiment(self):
        return self

    def finish(self, exit_code):
        self.exit_code = exit_code

    def log_metrics(self, metrics, step=None):
        self.told.append({"step": step, **metrics})

    def log_hyperparams(self, params):
        self.hyperparams = params


@pytest.fixture
def stand_ins(monkeypatch):
    """The loggers that were made, in order."""
    made: list[StandIn] = []
    for name, kind in (("wandb", "WandbLogger"), ("mlflow", "MLFlowLogger")):
        module = ModuleType(name)
        module.get_tracking_uri = lambda: "sqlite:///here.db"
        monkeypatch.setitem(sys.modules, name, module)
        monkeypatch.setattr(loggers, kind, type(kind, (StandIn,), {"made": made}))
    for variable in ("WANDB_PROJECT", "MLFLOW_EXPERIMENT_NAME"):
        monkeypatch.delenv(variable, raising=False)
    return made


def test_both_are_told_the_figures_and_once_the_settings_and_a_resumed_run_goes_on_there(
    stand_ins, quick, tmp_path, monkeypatch
):
    chosen = {"logger": ("wandb", "mlflow"), "epochs": 2, "batch_size": 1}
    start = Record.on_train_batch_start

    def interrupted(self, trainer, *rest):
        if trainer.global_step == 7:
            raise KeyboardInterrupt
        start(self, trainer, *rest)

    monkeypatch.setattr(Record, "on_train_batch_start", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train(quick(tmp_path / "run", **chosen))
    monkeypatch.setattr(Record, "on_train_batch_start", start)
    train(quick(tmp_path / "run", resume=True, **chosen))

    wandb, mlflow, wandb_again, mlflow_again = stand_ins
    assert wandb.names == ("run",)
    assert wandb.options == {"save_dir": tmp_path / "run", "id": None, "project": "deeplab"}
    assert mlflow.names == ("deeplab", "run")
    assert mlflow.options == {"tracking_uri": "sqlite:///here.db", "run_id": None}
    assert (wandb_again.options["id"], mlflow_again.options["run_id"]) == ("run 1", "run 2")
    assert wandb.hyperparams == mlflow.hyperparams
    assert (wandb.hyperparams["epochs"], wandb_again.hyperparams) == (2, None)
    assert (wandb.exit_code, wandb_again.exit_code) == (1, 0)
    assert wandb.told == mlflow.told
    assert [told["step"] for told in wandb.told if "val_miou" in told] == [4]
    (first,) = [told for told in wandb_again.told if "loss" in told]
    assert first["step"] == 9


def test_without_it_there_is_tensorboard_alone_and_so_in_other_processes(stand_ins, quick, tmp_path):
    for settings, first in ((quick(tmp_path), True), (quick(tmp_path, logger="wandb"), False)):
        assert [type(logger).__name__ for logger in loggers.begin(settings, first=first)] == ["TensorBoardLogger"]
    assert stand_ins == []


def test_one_that_does_not_begin_is_told_with_the_way_out_before_the_run_has_a_folder(
    stand_ins, quick, tmp_path, monkeypatch
):
    def refuse(self):
        raise RuntimeError("no key\nconfigured")

    monkeypatch.setattr(loggers.WandbLogger, "experiment", property(refuse))
    with pytest.raises(SettingsError, match=r"^logger wandb: no key configured; log in by 'wandb login', or set"):
        train(quick(tmp_path / "run", logger="wandb"))
    assert not list((tmp_path / "run").iterdir())


@pytest.mark.parametrize("name", ["wandb", "mlflow"])
def test_one_that_is_not_installed_is_named_with_its_extra(quick, tmp_path, monkeypatch, name):
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingExtraError, match=rf"^{name} is not installed; run: pip install 'deeplab\[{name}\]'$"):
        train(quick(tmp_path / "run", logger=name))


def test_another_one_is_refused(quick, tmp_path):
    with pytest.raises(SettingsError, match=r"^logger wants wandb or mlflow with commas between, got 'comet'$"):
        quick(tmp_path, logger="comet")
