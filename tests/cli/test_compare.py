"""`deeplab compare`: the table, the verdict, the JSON, the page."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

Run = Callable[..., Any]


def test_a_model_and_itself_do_not_differ(run: Run, tiny: Path, data: Path) -> None:
    status, out, err = run("compare", tiny, tiny, data, "--split", "train", "--json")
    assert (status, err) == (0, "")
    figures = json.loads(out.splitlines()[-1])
    assert figures["differences"]["miou"] == [0, 0, 0]
    assert figures["first"] == figures["second"]
    assert "these images do not tell which is better: mIoU +0.0000" in out
    assert f"2 images of {data}, train; 95 %: interval over images, which says little of so few\n" in out


def test_the_page_shows_images_where_they_differ(
    run: Run, tiny: Path, tiny_too: Path, data: Path, tmp_path: Path
) -> None:
    page = tmp_path / "page.html"
    status, out, _ = run("compare", tiny, tiny_too, data, "--split", "train", "--report", page)
    assert status == 0
    assert str(page) in out
    text = page.read_text()
    assert "data:image/png;base64," in text
    assert "http" not in text
    assert f"Where {tiny}" in text or f"Where {tiny_too}" in text


def test_another_number_of_classes_is_one_line(run: Run, tiny: Path, data: Path) -> None:
    status, _, err = run("compare", tiny, "street", data)
    assert status == 2
    assert err.startswith(f"deeplab: street: has 11 classes and {tiny} 3; two models are compared on all classes of")
    assert err.count("\n") == 1
    status, _, err = run("compare", "street", "street", data)
    assert status == 2
    assert err.startswith(f"deeplab: {data}: has 3 classes and the model 11; a model is measured on all of its")
