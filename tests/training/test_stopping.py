"""A run that is stopped, however it is, and goes on by `--resume` as if it had not been."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from pathlib import Path

import pytest
from lightning.pytorch import Trainer

from deeplab.__main__ import main
from deeplab.errors import TrainingError
from deeplab.files import clear_aside
from deeplab.training import train
from deeplab.training.record import Record, _keep_rows, state_of

SHORT = {"batch_size": 3, "validate_every": 3}
"""Three epochs of two steps each, and one validation."""


@pytest.fixture(scope="module")
def whole(quick, tmp_path_factory):
    """The folder of a run that nothing stopped."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    train(quick(folder, **SHORT))
    return folder


def in_step(step, number):
    """A signal at the start of this step."""
    start = Record.on_train_batch_start

    def spoilt(self, trainer, *rest):
        if trainer.global_step == step:
            os.kill(os.getpid(), number)
        start(self, trainer, *rest)

    Record.on_train_batch_start = spoilt


def in_a_state():
    """SIGKILL when half of the state is written."""
    save = Trainer.save_checkpoint

    def spoilt(self, path):
        save(self, path)
        os.truncate(path, path.stat().st_size // 2)
        os.kill(os.getpid(), signal.SIGKILL)

    Trainer.save_checkpoint = spoilt


def between_two_states():
    """SIGKILL when the state is that of the epoch before, and the last one has not its name yet."""
    rename = Path.replace

    def spoilt(self, target):
        rename(self, target)
        if target.name == "previous.ckpt":
            os.kill(os.getpid(), signal.SIGKILL)

    Path.replace = spoilt


def full_disk():
    """No file may be larger than 100 kB when the first epoch is written."""
    import resource

    end = Record.on_train_epoch_end

    def spoilt(*arguments):
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))
        end(*arguments)

    Record.on_train_epoch_end = spoilt


def go_on(folder, stop, *arguments):
    """`deeplab train --resume` until `stop` does what it says; what it prints goes into a file."""
    stop(*arguments)
    with (folder / "printed").open("w") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    sys.stdout, sys.stderr = os.fdopen(1, "w"), os.fdopen(2, "w")
    status = main(["train", "--resume", "--output", str(folder)])
    sys.stdout.flush()
    sys.exit(status)


def test_a_run_that_is_stopped_again_and_again_ends_as_if_it_was_not(whole, quick, fork, tmp_path):
    pytest.importorskip("resource", reason="needs a limit of the size of files, which this system does not have")
    folder = tmp_path / "run"

    def stopped(*stop):
        process = fork(go_on, folder, *stop)
        process.join()
        return process.exitcode, (folder / "printed").read_text()

    def states():
        return [path.name for path in sorted(folder.glob("[!.]*.ckpt"))]

    folder.mkdir()
    shutil.copyfile(whole / "config.yaml", folder / "config.yaml")
    assert stopped(in_step, 3, signal.SIGKILL)[0] == -signal.SIGKILL
    assert states() == ["last.ckpt"]
    first = (folder / "last.ckpt").read_bytes()

    status, printed = stopped(full_disk)
    assert status == 2
    assert printed.endswith(f"deeplab: {folder}: no room is left (File too large); make room, then go on by --resume\n")
    assert {path.name for path in folder.iterdir()} == {
        *("config.yaml", "fingerprint.json", "tensorboard", "printed"),
        *("last.ckpt", "last.safetensors", "steps.csv", "epochs.csv"),
    }

    assert stopped(in_a_state)[0] == -signal.SIGKILL
    assert states() == ["last.ckpt"]
    assert stopped(between_two_states)[0] == -signal.SIGKILL
    assert states() == ["previous.ckpt"]
    assert (folder / "previous.ckpt").read_bytes() == first

    status, printed = stopped(in_step, 5, signal.SIGTERM)
    assert status == 143
    assert printed.endswith("stopped by SIGTERM in epoch 3; --resume goes on after the last whole one\n")
    assert states() == ["last.ckpt", "previous.ckpt"]

    assert stopped(lambda: None)[0] == 0
    for name in ("steps.csv", "validation.csv", "last.safetensors", "best.safetensors"):
        assert (folder / name).read_bytes() == (whole / name).read_bytes()
    assert not [path for path in folder.iterdir() if path.name.startswith(".")]


def test_a_damaged_state_gives_way_to_the_one_before_it(whole, tmp_path, caplog):
    for name in ("last.ckpt", "previous.ckpt"):
        shutil.copyfile(whole / name, tmp_path / name)
    assert state_of(tmp_path) == tmp_path / "last.ckpt"
    os.truncate(tmp_path / "last.ckpt", 1000)
    assert state_of(tmp_path) == tmp_path / "previous.ckpt"
    assert caplog.messages == [f"{tmp_path / 'last.ckpt'} is damaged; going on from what was before it"]
    os.truncate(tmp_path / "previous.ckpt", 0)
    assert state_of(tmp_path) is None


def test_a_run_that_goes_on_knows_the_best_score_before(tmp_path):
    before, after = (Record(tmp_path, classes=(), save=None, draw=None) for _ in range(2))
    before.best = {"epoch": 3, "miou": 0.5}
    after.load_state_dict(before.state_dict())
    assert after.best == before.best


def test_rows_of_steps_that_are_done_again_are_dropped_and_so_is_half_a_row(tmp_path):
    path = tmp_path / "steps.csv"
    for torn in ("1", "12", "12,1,0.5", "12,1,0.5,0.00"):
        path.write_text(f"step,epoch,loss,learning_rate\r\n9,0,0.7,0.1\r\n10,1,0.6,0.1\r\n{torn}")
        _keep_rows(path, below=10)
        assert path.read_text() == "step,epoch,loss,learning_rate\n9,0,0.7,0.1\n"
    path.write_text("step,epo")
    _keep_rows(path, below=10)
    assert not path.exists()


def test_where_one_process_gets_sigterm_the_other_one_ends_with_a_line(in_processes, quick, tmp_path):
    def stopped(rank):
        if rank == 1:
            in_step(1, signal.SIGTERM)
        with pytest.raises((SystemExit, TrainingError)) as error:
            train(quick(tmp_path / "run", devices=2, batch_norm="group"))
        return error.type.__name__, str(error.value)

    assert in_processes(stopped) == [
        ("TrainingError", "another process of this run has ended; its line says why"),
        ("SystemExit", "143"),
    ]


def test_only_what_was_written_aside_is_cleared(tmp_path):
    (tmp_path / f".{'0a' * 16}.ckpt").touch()
    for name in (".hidden", f"{'0a' * 16}.ckpt", ".gitignore"):
        (tmp_path / name).touch()
    (tmp_path / f".{'0b' * 16}").mkdir()
    (tmp_path / f".{'0b' * 16}" / "half.xml").touch()
    clear_aside(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {".hidden", f"{'0a' * 16}.ckpt", ".gitignore"}
