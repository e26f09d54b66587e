"""Progress bars: on a terminal only."""

from __future__ import annotations

import sys

import pytest

from deeplab._progress import download_progress, progress


def on_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)


def test_a_pipe_gets_no_bar(capsys: pytest.CaptureFixture[str]) -> None:
    with progress("Segmenting", total=2) as advance, download_progress("Downloading") as show:
        advance()
        show(1, None)
    assert capsys.readouterr() == ("", "")


def test_a_download_shows_megabytes_on_standard_error(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    on_terminal(monkeypatch)
    with download_progress("Downloading tf/x") as show:
        show(1_000_000, None)
        show(2_000_000, 4_000_000)
    out, err = capsys.readouterr()
    assert out == ""
    assert "Downloading tf/x" in err
    assert "2.0/4.0 MB" in err


def test_steps_are_counted_on_standard_error(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    on_terminal(monkeypatch)
    with progress("Segmenting", total=2) as advance:
        advance()
    assert "50%" in capsys.readouterr().err
