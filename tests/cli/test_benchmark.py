"""`deeplab benchmark`: a table of what was asked for, or one line."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from deeplab import weights
from deeplab.evaluation import Growth, growth, timing


@pytest.fixture(autouse=True)
def in_no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timing, "REST", 0)
    monkeypatch.setattr(timing, "PEAK_SIDE", 64)


def test_the_table_has_a_row_for_each_model_and_size(
    run: Any, tiny: Path, tiny_too: Path, photo: Callable[[str], Path]
) -> None:
    options = ("--sizes", "33x33,17x65", "--rounds", 2, "--image", photo("x.png"), "--json")
    status, out, _ = run("benchmark", tiny, tiny_too, *options)
    assert status == 0
    lines = out.splitlines()
    rows = [line.split("\t") for line in lines[:4]]
    assert [row[:2] for row in rows] == [
        [size, str(model)] for size in ("33x33", "17x65") for model in (tiny, tiny_too)
    ]
    assert all(len(row) == 12 for row in rows)
    assert [row[2] for row in rows] == [row[0] for row in rows]  # what the networks see
    assert (rows[0][-1], rows[1][-1] < "100") == ("100.000%", True)
    figures = json.loads(lines[-1])
    assert figures["peak"] > 0
    assert figures["growth"] == []
    first = figures["timings"][0]
    assert (first["model"], first["size"], first["seen"], first["agreement"]) == (str(tiny), [33, 33], [33, 33], 1)
    assert first["quartiles"][0] <= first["seconds"] <= first["quartiles"][1]
    assert first["images_per_second"] == pytest.approx(1 / first["seconds"])
    assert first["multiply_adds"] > 0


def test_in_another_engine_nothing_is_counted_and_the_classes_do_not_grow(
    run: Any, tiny: Path, photo: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("matplotlib", reason="needs the extra train")
    monkeypatch.setattr(timing.Stopwatch, "_multiply_adds", lambda _: (None, None))  # as of another engine
    measured: list[tuple[str, str]] = []

    def measure(models: Any, picture: Any, *, exported: Any, on_point: Any) -> list[Growth]:
        measured.extend(growth.lines(models, exported))
        return [Growth(name, axis, 1, 0.1, 2**20) for name, axis in measured]

    monkeypatch.setattr(import_module("deeplab.evaluation.benchmark"), "measure_growth", measure)
    options = ("--sizes", "33x33", "--rounds", 1, "--image", photo("x.png"), "--growth", tmp_path / "growth.png")
    status, out, err = run("benchmark", tiny, *options, "--json")
    assert (status, err) == (0, "")
    assert json.loads(out.splitlines()[-1])["peak"] is None
    assert measured == [(str(tiny), "pixels"), (str(tiny), "batch")]


def test_without_a_model_it_takes_those_that_ship(run: Any, photo: Callable[[str], Path]) -> None:
    options = ("--sizes", "33x33", "--rounds", 1, "--long-side", 33, "--image", photo("x.png"))
    status, out, _ = run("benchmark", *options)
    assert status == 0
    assert [line.split("\t")[1] for line in out.splitlines()[:-2]] == [*weights.shipped()]


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (("--sizes", "513"), "sizes want HEIGHTxWIDTH with commas between, as in 513x513; got '513'"),
        (("--sizes", "0x513"), "sizes want HEIGHTxWIDTH"),
        (("--rounds", "0"), "rounds wants a whole number (at least 1), got '0'"),
        (("--growth", "growth.pdf"), "growth wants a name that ends in .png, got growth.pdf"),
        (("objects", "objects"), "models want each once, got objects, objects"),
        (("--image", "none.jpg"), "none.jpg: no such file"),
        (("strete",), "no model 'strete'; did you mean street"),
    ],
)
def test_a_mistake_is_told_in_one_line(run: Any, options: tuple[str, ...], problem: str) -> None:
    status, out, err = run("benchmark", *options)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert err.startswith(f"deeplab: {problem}")
