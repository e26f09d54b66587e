"""`deeplab evaluate`: the table, the JSON, the files."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import deeplab

Run = Callable[..., Any]


def test_json_has_the_promised_figures(run: Run, tiny: Path, data: Path) -> None:
    status, out, err = run("evaluate", tiny, data, "--json")
    assert (status, err) == (0, "")
    figures = json.loads(out.splitlines()[-1])
    assert {"miou", "pixel_accuracy", "mean_accuracy", "iou", "images"} <= figures.keys()
    assert list(figures["iou"]) == ["background", "cat", "dog"]
    assert figures["images"] == 1


def test_the_figures_are_those_of_the_python_call(run: Run, tiny: Path, data: Path) -> None:
    figures = json.loads(run("evaluate", tiny, data, "--json", "--split", "train").out.splitlines()[-1])
    report = deeplab.evaluate(tiny, data, split="train")
    assert figures["miou"] == pytest.approx(report.miou)
    assert report.images == 2


def test_the_table_has_a_row_for_each_class(run: Run, tiny: Path, data: Path) -> None:
    rows = [line.split("\t") for line in run("evaluate", tiny, data).out.splitlines()]
    assert [row[0] for row in rows[:3]] == ["background", "cat", "dog"]
    assert [row[0] for row in rows[3:6]] == ["mIoU", "pixel accuracy", "mean accuracy"]
    assert rows[-1] == [f"1 image of {data}, val; 95 %: interval over images, which says little of so few"]


def test_masks_without_a_labelled_pixel_are_told(run: Run, tiny: Path, data: Path, tmp_path: Path) -> None:
    ignored = shutil.copytree(data, tmp_path / "ignored")
    for mask in ignored.glob("val/masks/*.png"):
        Image.fromarray(np.full_like(Image.open(mask), 255)).save(mask)
    status, out, _ = run("evaluate", tiny, ignored)
    assert status == 0
    assert "every pixel of the masks is to be ignored, so that nothing was measured" in out


def test_the_report_and_the_label_maps_are_written_when_asked_for(
    run: Run, tiny: Path, data: Path, tmp_path: Path
) -> None:
    out = run("evaluate", tiny, data, "--json", "--output", tmp_path / "out").out
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == ["0.png", "images.csv", "report.json"]
    assert json.loads((tmp_path / "out" / "report.json").read_text()) == json.loads(out.splitlines()[-1])


def test_borders_and_calibration_are_told_when_asked_for(run: Run, tiny: Path, data: Path) -> None:
    out = run("evaluate", tiny, data, "--json", "--boundaries", "--calibration").out.splitlines()
    assert {"boundary F-score", "boundary IoU", "calibration error"} <= {line.split("\t")[0] for line in out}
    assert {"boundary_f_score", "boundary_iou", "trimap_miou", "calibration_error"} <= json.loads(out[-1]).keys()


def test_the_page_holds_all_of_it_and_needs_no_network(run: Run, tiny: Path, data: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    status, out, _ = run("evaluate", tiny, data, "--split", "train", "--report", page)
    assert status == 0
    assert str(page) in out
    text = page.read_text()
    for title in (
        "Figures",
        "Classes",
        "What is mistaken for what",
        "Near borders",
        "Small and large",
        "Can the probabilities",
    ):
        assert f"<h2>{title}" in text
    assert text.count("data:image/png;base64,") == 2
    assert "http" not in text


def test_the_classes_of_the_data_can_be_made_those_of_the_model(run: Run, tiny: Path, data: Path) -> None:
    figures = json.loads(run("evaluate", tiny, data, "--json").out.splitlines()[-1])
    swapped = run("evaluate", tiny, data, "--json", "--classes", "background, cat=dog, dog=cat").out.splitlines()[-1]
    pixels, others = figures["pixels"], json.loads(swapped)["pixels"]
    assert (others["cat"], others["dog"]) == (pixels["dog"], pixels["cat"])
    status, _, err = run("evaluate", tiny, data, "--classes", "background, pet=cat|dgo")
    assert (status, err) == (2, "deeplab: classes: no class 'dgo'; did you mean dog?\n")


def test_label_maps_are_never_written_into_the_data_set(run: Run, tiny: Path, data: Path) -> None:
    status, _, err = run("evaluate", tiny, data, "--output", data / "val" / "masks")
    assert status == 2
    assert "lies inside the data set" in err


def test_a_page_of_images_without_borders_draws_none(run: Run, tiny: Path, data: Path, tmp_path: Path) -> None:
    for mask in data.rglob("masks/*.png"):
        Image.new("L", (32, 24), 1).save(mask)
    assert run("evaluate", tiny, data, "--split", "train", "--report", tmp_path / "page.html").status == 0
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "There are no borders" in page
    assert ",nan" not in page


@pytest.mark.parametrize("flag", ["--output", "--report"])
def test_an_output_that_cannot_be_written_is_said_before_the_work(
    run: Run, data: Path, tmp_path: Path, flag: str
) -> None:
    (tmp_path / "notes.txt").touch()
    status, out, err = run("evaluate", "gone.safetensors", data, flag, tmp_path / "notes.txt/deeper")
    assert (status, out) == (2, "")
    assert "notes.txt/deeper: cannot be written (Not a directory)" in err


@pytest.mark.parametrize(
    ("command", "arguments"),
    [
        ("evaluate", ("{data}", "objects")),
        ("evaluate", ("{data}", "{tiny}")),
        ("tune-crf", ("{data}", "{tiny}")),
        ("compare", ("{data}", "objects", "street")),
        ("compare", ("objects", "{data}", "{tiny}")),
    ],
)
def test_arguments_that_are_swapped_are_told(
    run: Run, tiny: Path, data: Path, command: str, arguments: tuple[str, ...]
) -> None:
    status, _, err = run(command, *(each.format(data=data, tiny=tiny) for each in arguments))
    assert status == 2
    assert err.startswith(f"deeplab: {data} is a folder and ")
    assert "is none; the model comes first, the data set last" in err


def test_an_unknown_split_is_said_with_those_there_are(run: Run, tiny: Path, data: Path) -> None:
    status, _, err = run("evaluate", tiny, data, "--split", "test")
    assert status == 2
    assert "no images in split 'test'" in err
    assert "train, val" in err


def test_a_crf_is_measured_as_the_model_with_it(run: Run, tiny: Path, data: Path) -> None:
    figures = json.loads(run("evaluate", tiny, data, "--json", "--crf").out.splitlines()[-1])
    report = deeplab.evaluate(tiny, data, crf=True)
    assert figures["miou"] == pytest.approx(report.miou)


def test_the_format_can_be_given(run: Run, tiny: Path, data: Path) -> None:
    detected = run("evaluate", tiny, data, "--json").out.splitlines()[-1]
    assert run("evaluate", tiny, data, "--json", "--format", "folder").out.splitlines()[-1] == detected
    status, _, err = run("evaluate", tiny, data, "--format", "voc")
    assert status == 2
    assert err.startswith(f"deeplab: {data}: no lists of images; wanted JPEGImages/*.jpg")
    status, _, err = run("evaluate", tiny, data, "--format", "foldr")
    assert (status, err) == (2, "deeplab: no data format 'foldr'; did you mean folder?\n")


def test_images_of_one_stem_in_several_folders_have_label_maps_of_their_own(
    run: Run, tiny: Path, data: Path, tmp_path: Path
) -> None:
    lists = data / "ImageSets" / "Segmentation" / "val.txt"
    lists.parent.mkdir(parents=True)
    lists.write_text("".join(f"{part}/images/0.png {part}/masks/0.png\n" for part in ("train", "val")))
    status, _, err = run("evaluate", tiny, data, "--format", "voc", "--output", tmp_path / "out")
    assert (status, err) == (0, "")
    written = {file.name for file in (tmp_path / "out").iterdir()}
    assert written == {"0.png", "0_2.png", "images.csv", "report.json"}
