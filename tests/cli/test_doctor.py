"""`deeplab doctor`: what is printed, the exit status, the files; what it finds is tested in tests/data."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from html import unescape
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import deeplab
from deeplab.data.doctor import examination

Run = Callable[..., Any]


def test_data_in_order_are_status_0(run: Run, data: Path) -> None:
    status, out, err = run("doctor", data)
    assert (status, err) == (0, "")
    assert [line.split("\t")[0] for line in out.splitlines()[:3]] == ["background", "cat", "dog"]
    assert f"{data}: 0 errors, " in out


def test_an_error_is_status_1_and_told_with_its_files_its_reason_and_the_way_out(run: Run, data: Path) -> None:
    Image.fromarray(np.full((24, 32), 7, np.uint8)).save(data / "train/masks/1.png")
    status, out, err = run("doctor", data)
    assert (status, err) == (1, "")
    lines = out.splitlines()
    place = next(index for index, line in enumerate(lines) if line.startswith("error: "))
    assert "1 mask with labels that are no class: train/masks/1.png (label 7 at (row 0, column 0)" in lines[place]
    assert "A label that is no class cannot be learnt." in lines[place + 1]
    assert "Add the missing classes to classes.txt" in lines[place + 1]


def test_a_finding_that_a_repair_is_for_names_the_command_for_it(run: Run, data: Path, tmp_path: Path) -> None:
    Image.fromarray(np.full((24, 32), 7, np.uint8)).save(data / "train/masks/0.png")
    lines = run("doctor", data, "--report", tmp_path / "page.html").out.splitlines()
    place = next(index for index, line in enumerate(lines) if line.startswith("error: "))
    command = f"'deeplab doctor {data} --fix {data}_repaired' writes a repaired copy"
    assert "With --fix: renumbered where all masks are" in lines[place + 1]
    assert command in lines
    page = unescape((tmp_path / "page.html").read_text(encoding="utf-8"))
    assert command in page
    assert "With --fix: renumbered where all masks are" in page
    out = run("doctor", data, "--fix", f"{data}_repaired").out
    assert command not in out
    assert "With --fix" not in run("doctor", f"{data}_repaired").out


def test_no_command_is_named_where_it_would_write_nothing(run: Run, data: Path, tmp_path: Path) -> None:
    for mask in sorted((data / "train/masks").iterdir()):  # class numbers, which compression changes
        Image.fromarray(np.array(Image.open(mask))).save(mask.with_suffix(".jpg"))
        mask.unlink()
    hint = "--fix would write nothing: no sample of train can be repaired"
    out = run("doctor", data, "--report", tmp_path / "page.html").out
    page = unescape((tmp_path / "page.html").read_text(encoding="utf-8"))
    err = run("train", data, "--output", tmp_path / "run").err
    assert [hint in text for text in (out, page, err)] == [True] * 3, (out, err)
    assert "writes a repaired copy" not in out + page + err
    status, _, err = run("doctor", data, "--fix", tmp_path / "fixed")
    assert status == 2
    assert "has nothing of train" in err


def test_nothing_to_train_on_is_status_1_also_of_a_repaired_copy(run: Run, data: Path, tmp_path: Path) -> None:
    shutil.rmtree(data / "train")
    status, out, _ = run("doctor", data)
    assert status == 1
    assert "error: no images in split 'train'\n    Nothing can be trained on; to measure models on" in out
    status, out, _ = run("doctor", data, "--fix", tmp_path / "fixed")
    assert status == 1
    assert out.splitlines()[-1] == f"{tmp_path / 'fixed'}: 1 image, 0 repairs, no images in split 'train'"


@pytest.mark.parametrize(("flag", "name"), [("--report", ""), ("--fix", "notes.txt/fixed")])
def test_an_output_that_cannot_be_written_is_said_before_the_work(
    run: Run, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flag: str, name: str
) -> None:
    (tmp_path / "notes.txt").touch()
    monkeypatch.setattr(examination, "inspect", None)
    status, out, err = run("doctor", data, flag, tmp_path / name)
    assert (status, out) == (2, "")
    assert "cannot be written" in err


def test_every_broken_file_is_told_and_none_stops_it(run: Run, data: Path) -> None:
    (data / "train/masks/1.png").unlink()
    (data / "train/images/0.png").write_bytes(b"")
    status, out, _ = run("doctor", data, "--json")
    figures = json.loads(out.splitlines()[-1])
    files = {each["kind"]: [case["files"] for case in each["cases"]] for each in figures["findings"]}
    assert status == 1
    assert files["image-without-mask"] == [["train/images/1.png"]]
    assert files["image-unreadable"] == [["train/images/0.png"]]


def test_json_is_what_python_returns(run: Run, data: Path) -> None:
    figures = json.loads(run("doctor", data, "--json").out.splitlines()[-1])
    diagnosis = deeplab.doctor(data)
    assert {name: figures[name] for name in json.loads(diagnosis.to_json())} == json.loads(diagnosis.to_json())
    assert figures["images"] == {"train": 2, "val": 1}
    assert figures["classes"]["cat"]["images"] == {"train": 2, "val": 1}
    assert (figures["errors"], figures["report"], figures["fixed"]) == (0, None, None)


def test_a_repaired_copy_makes_status_0(run: Run, data: Path, tmp_path: Path) -> None:
    (data / "train/masks/0.png").unlink()
    status, out, err = run("doctor", data, "--fix", tmp_path / "fixed", "--report", tmp_path / "page.html", "--json")
    assert (status, err) == (0, "")
    assert "repaired: train/images/0.png: left out: it has no mask" in out
    figures = json.loads(out.splitlines()[-1])
    assert figures["errors"] == 1
    assert figures["fixed"]["images"] == 2
    assert (tmp_path / "fixed/repairs.txt").read_text() == "train/images/0.png: left out: it has no mask\n"
    assert (tmp_path / "page.html").is_file()
    assert run("doctor", tmp_path / "fixed").status == 0


def test_a_folder_that_is_no_data_set_is_a_users_mistake(run: Run, tmp_path: Path) -> None:
    status, _, err = run("doctor", tmp_path)
    assert (status, err.count("\n")) == (2, 1)


def test_ctrl_c_stops_it_at_once(run: Run, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(examination, "inspect", interrupt)
    status, _, err = run("doctor", data)
    assert (status, err) == (130, "deeplab: interrupted\n")
