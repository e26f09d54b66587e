"""`deeplab explain`: the lines and the files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

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


def test_a_model_after_its_image_is_told(run: Run, photo: Callable[[str], Path]) -> None:
    image = photo("x.jpg")
    assert run("explain", image, "objects").err == (
        f"deeplab: {image} is an image, no model; the model comes first, then the image\n"
    )


def test_mistakes_are_one_line(run: Run, tiny: Path, photo: Callable[[str], Path]) -> None:
    for wrong in (("--show", "dgo"), ("--pixel", "99,1"), ("--samples", "-1"), ("--engine", "onnx")):
        status, _, err = run("explain", tiny, photo("a.jpg"), *wrong)
        assert status == 2
        assert len(err.splitlines()) == 1
