"""What all commands share: exit status, one line per mistake, help."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

import deeplab
from deeplab import api
from deeplab.cli._terminal import print_table


def one_line(err: str) -> str:
    assert err.count("\n") == 1, err
    assert err.startswith("deeplab: ")
    return err.removeprefix("deeplab: ").rstrip("\n")


def fails_with(error: BaseException) -> Callable[..., Any]:
    def call(*_: Any, **__: Any) -> Any:
        raise error

    return call


def test_no_command_shows_the_help(run: Callable[..., Any]) -> None:
    status, out, err = run()
    assert (status, err) == (0, "")
    assert all(name in out for name in ("segment", "train", "evaluate", "doctor", "convert", "models"))


@pytest.mark.parametrize("command", ["segment", "train", "evaluate", "doctor", "convert", "models"])
def test_every_command_has_help(run: Callable[..., Any], command: str) -> None:
    status, out, err = run(command, "--help")
    assert (status, err) == (0, "")
    assert "--debug" in out


def test_the_help_shows_each_default_as_it_is_typed(run: Callable[..., Any]) -> None:
    defaults = {"train": ("adamw", "by the output stride and the crop", "on", "0.0"), "tune-crf": ("1,3,6,10",)}
    for command, shown in defaults.items():
        text = " ".join(run(command, "--help").out.split())
        assert all(f"[default: {default}]" in text for default in shown)


def test_the_version_is_printed(run: Callable[..., Any]) -> None:
    assert run("--version") == (0, f"deeplab {deeplab.__version__}\n", "")


@pytest.mark.parametrize(
    "arguments, words",
    [
        (("segmant",), "segmant"),  # the words before the flag are typer's, and change
        (("segment",), "INPUT"),
        (("segment", "x.jpg", "--scale", "1"), "--scale"),
        (("segment", "x.jpg", "--scales", "big"), "scales wants numbers with commas between"),
        (("segment", "x.jpg", "--model"), "--model"),
        (("segment", "x.jpg", "--flip=False"), "--flip"),
        (("evaluate", "objects"), "DATA"),
        (("train", "data", "--backbone", "resnet49"), "no backbone 'resnet49'; did you mean resnet"),
        (("train",), "data is missing"),
    ],
)
def test_a_users_mistake_is_one_line_and_status_2(
    run: Callable[..., Any], arguments: tuple[str, ...], words: str
) -> None:
    status, out, err = run(*arguments)
    assert (status, out) == (2, "")
    assert words in one_line(err)


def test_debug_shows_the_traceback_before_the_line(run: Callable[..., Any]) -> None:
    status, _, err = run("train", "data", "--backbone", "resnet49", "--debug")
    assert status == 2
    assert err.startswith("Traceback")
    assert err.splitlines()[-1].startswith("deeplab: ")


def test_ctrl_c_is_status_130(run: Callable[..., Any], photo: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api, "load", fails_with(KeyboardInterrupt()))
    assert run("segment", photo("x.png"), "--output", photo("o/y.png").parent).status == 130


def test_a_mistake_of_ours_is_one_line_and_status_1(
    run: Callable[..., Any], photo: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api, "load", fails_with(ZeroDivisionError("of\nours")))
    status, _, err = run("segment", photo("x.png"), "--output", photo("o/y.png").parent)
    assert status == 1
    assert "ZeroDivisionError: of ours" in one_line(err)
    assert "--debug" in err


def test_what_needs_torch_says_so_where_there_is_none(
    run: Callable[..., Any], photo: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api, "load", fails_with(ModuleNotFoundError("No module named 'torch'", name="torch")))
    status, _, err = run("segment", photo("x.png"), "--output", photo("o/y.png").parent)
    assert (status, one_line(err)) == (2, "this needs PyTorch; run: pip install torch")


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
        RuntimeError("CUDA out of memory. Tried to allocate 20.00 MiB"),
        RuntimeError("Exception during initialization: Failed to allocate memory for requested buffer of size 9"),
    ],
)
def test_too_little_memory_says_what_takes_less(
    run: Callable[..., Any], photo: Any, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    monkeypatch.setattr(api, "load", fails_with(error))
    monkeypatch.setattr(api, "train_as", fails_with(error))
    status, _, err = run("segment", photo("x.png"), "--output", photo("o/y.png").parent)
    assert (status, one_line(err)) == (2, "out of memory; choose a smaller --tile-size or --long-side")
    status, _, err = run("explain", "objects", photo("x.png"), "--output", photo("o/y.png").parent)
    assert (status, one_line(err)) == (2, "out of memory; choose a smaller --long-side")
    status, _, err = run("train", "data")
    assert (status, one_line(err)) == (2, "out of memory; choose a smaller --batch-size or --crop-size")


@pytest.mark.skipif(sys.platform == "win32", reason="needs a signal of POSIX")
def test_what_the_system_refuses_is_a_users_mistake(run: Callable[..., Any]) -> None:
    name = 300 * "x" + ".jpg"  # longer than file systems allow
    status, _, err = run("segment", name)
    assert status == 2
    assert one_line(err).startswith(f"{name}: ")


def test_an_interrupted_process_ends_with_status_130_and_no_traceback() -> None:
    code = (
        "import os, signal, sys, deeplab.api\n"
        "from deeplab.__main__ import main\n"
        "deeplab.api.train_as = lambda _: os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.exit(main(['train', '.']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    assert (done.returncode, done.stderr) == (130, "deeplab: interrupted\n")


def test_a_table_on_a_terminal_shows_the_colour_of_a_class(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLORTERM", "truecolor")
    print_table(("Image", "Class"), [("a.jpg", "[road]"), ("a.jpg", "sky")], colors={"[road]": (1, 2, 3)})
    out = capsys.readouterr().out
    assert "\x1b[38;2;1;2;3m\u25a0 \x1b[0m[road]" in out
    assert out.count("\u25a0") == out.count("a.jpg") == 1
