"""`deeplab explain`: the lines and the files."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., Any]


def test_each_class_has_a_line_and_the_page_is_named(
    run: Run, tiny: Path, photo: Callable[[str], Path], tmp_path: Path
) -> None:
    folder = tmp_path / "explanations"
    status, out, err = run("explain", tiny, photo("a.jpg"), "--show", "cat,dog", "--pixel", "2,3", "--output", folder)
    assert (status, err) == (0, "")
    assert "entropy" in out.splitlines()[0]
    assert out.splitlines()[-1].startswith(f"the page is {folder / 'a.html'}")
    assert {file.name for file in folder.iterdir()} >= {"a.html", "a_cat.png", "a_dog.png", "a_receptive_field.png"}


def test_the_figures_are_the_last_line_as_json(
    run: Run, tiny: Path, photo: Callable[[str], Path], tmp_path: Path
) -> None:
    out = run("explain", tiny, photo("a.jpg"), "--output", tmp_path, "--json").out
    figures = json.loads(out.splitlines()[-1])
    assert figures["page"] == str(tmp_path / "a.html")
    assert sum(each["share"] for each in figures["classes"].values()) == pytest.approx(1)
    for each in figures["classes"].values():
        assert each.keys() == {"share", "entropy", "disagreement"}
        assert all(0 <= figure <= 1 for figure in each.values())


def test_a_class_that_was_asked_for_and_is_not_there_has_a_line_too(
    run: Run, tiny: Path, photo: Callable[[str], Path], tmp_path: Path
) -> None:
    arguments = ("explain", tiny, photo("a.jpg"), "--output", tmp_path, "--json")
    absent = {"background", "cat", "dog"} - json.loads(run(*arguments).out.splitlines()[-1])["classes"].keys()
    out = run(*arguments, "--show", ",".join(absent)).out
    for name in absent:
        assert f"{name}\tnot found" in out.splitlines()
        assert json.loads(out.splitlines()[-1])["classes"][name]["share"] == 0


def test_an_output_that_cannot_be_written_is_told_before_the_work(
    run: Run, tiny: Path, photo: Callable[[str], Path]
) -> None:
    image = photo("a.jpg")
    (image.parent / "taken").touch()
    assert run("explain", "no_such_model", image, "--output", image.parent / "taken" / "folder").err.startswith(
        f"deeplab: {image.parent / 'taken' / 'folder'}: cannot be written"
    )


def test_tiles_are_refused_because_the_image_is_looked_at_in_one_piece(
    run: Run, tiny: Path, photo: Callable[[str], Path]
) -> None:
    err = run("explain", tiny, photo("a.jpg"), "--tile-size", 64).err
    assert err == "deeplab: explain looks at the image in one piece; leave tile_size out and take long_side\n"


def test_an_exported_model_is_refused_before_it_is_opened(run: Run, photo: Callable[[str], Path]) -> None:
    err = run("explain", "gone.ONNX", photo("a.jpg")).err
    assert err == "deeplab: gone.ONNX is exported and cannot be looked into; take the model it was made from\n"


def test_a_model_after_its_image_is_told(run: Run, photo: Callable[[str], Path]) -> None:
    image = photo("x.jpg")
    assert run("explain", image, "objects").err == (
        f"deeplab: {image} is an image, no model; the model comes first, then the image\n"
    )


def test_mistakes_are_one_line(run: Run, tiny: Path, photo: Callable[[str], Path]) -> None:
    for wrong in (("--show", "dgo"), ("--pixel", "99,1"), ("--pixel", "2"), ("--samples", "-1"), ("--engine", "onnx")):
        status, _, err = run("explain", tiny, photo("a.jpg"), *wrong)
        assert status == 2
        assert len(err.splitlines()) == 1
