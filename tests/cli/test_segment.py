"""`deeplab segment`: what it writes, what it refuses, what it prints."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from deeplab.crf import DenseCRF, save_crf

Run = Callable[..., Any]
Photo = Callable[[str], Path]


def test_labels_are_a_palette_png_of_the_size_of_the_photo(run: Run, photo: Photo, tiny: Path, tmp_path: Path) -> None:
    assert run("segment", photo("x.jpg"), "--model", tiny, "--output", tmp_path / "out").status == 0
    with Image.open(tmp_path / "out" / "x.png") as labels:
        assert (labels.mode, labels.size) == ("P", (32, 24))
    assert [file.name for file in (tmp_path / "out").iterdir()] == ["x.png"]


def test_overlay_and_probabilities_are_written_when_asked_for(
    run: Run, photo: Photo, tiny: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    flags = ("--overlay", "--probabilities", "--scales", "0.5,1", "--flip", "--device", "cpu")
    assert run("segment", photo("x.jpg"), "--model", tiny, "--output", out, *flags).status == 0
    assert sorted(file.name for file in out.iterdir()) == ["x.npz", "x.png", "x_overlay.png"]
    with np.load(out / "x.npz") as file:
        assert file["probabilities"].shape == (3, 24, 32)
        np.testing.assert_allclose(file["probabilities"].sum(axis=0), 1, atol=1e-5)  # float32 of three terms
        assert file["classes"].tolist() == ["background", "cat", "dog"]


def test_the_confidence_is_the_probability_of_each_pixels_class(
    run: Run, photo: Photo, tiny: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    assert (
        run("segment", photo("x.jpg"), "--model", tiny, "--output", out, "--confidence", "--probabilities").status == 0
    )
    with Image.open(out / "x_confidence.png") as picture, np.load(out / "x.npz") as file:
        assert picture.mode == "L"
        np.testing.assert_allclose(np.array(picture), 255 * file["probabilities"].max(axis=0), atol=0.51)


def test_the_share_of_each_class_is_printed_and_where_the_pictures_are(
    run: Run, photo: Photo, tiny: Path, tmp_path: Path
) -> None:
    path = photo("x.jpg")
    out = run("segment", path, "--model", tiny, "--output", tmp_path / "out").out
    shares = [line.split("\t") for line in out.splitlines()[:-1]]
    assert all(name == str(path) for name, _, _ in shares)
    assert sum(float(share.rstrip("%")) for _, _, share in shares) == pytest.approx(100, abs=0.2)  # one decimal
    assert out.splitlines()[-1] == f"1 segmented; the pictures are in {tmp_path / 'out'}"


def test_nothing_is_drawn_in_a_pipe(run: Run, photo: Photo, tiny: Path, tmp_path: Path) -> None:
    _, out, err = run("segment", photo("x.jpg"), "--model", tiny, "--output", tmp_path / "out")
    assert err == ""
    assert "\x1b" not in out


def test_json_is_the_last_line(run: Run, photo: Photo, tiny: Path, tmp_path: Path) -> None:
    path, bad = photo("ä x.jpg"), tmp_path / "bad.jpg"
    bad.write_bytes(b"no image")
    status, out, _ = run("segment", path, bad, "--model", tiny, "--output", tmp_path / "out", "--json")
    figures = json.loads(out.splitlines()[-1])
    assert status == 2
    assert [image["image"] for image in figures["images"]] == [str(path)]
    assert figures["images"][0]["labels"] == str(tmp_path / "out" / "ä x.png")
    assert sum(figures["images"][0]["areas"].values()) == pytest.approx(1)
    assert list(figures["failed"]) == [str(bad)]
    assert set(figures["images"][0]["areas"]) <= set(figures["colors"])
    assert all(len(color) == 3 for color in figures["colors"].values())


def test_a_bad_file_is_named_and_the_rest_is_done(run: Run, photo: Photo, tiny: Path, tmp_path: Path) -> None:
    photo("in/a.jpg")
    photo("in/c.jpg")
    (tmp_path / "in" / "b.jpg").write_bytes(b"")
    status, out, err = run("segment", tmp_path / "in", "--model", tiny, "--output", tmp_path / "out")
    assert status == 2
    assert err.startswith(f"deeplab: {tmp_path / 'in' / 'b.jpg'}: ")
    assert err.count("\n") == 1
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == ["a.png", "c.png"]
    assert out.splitlines()[-1] == f"2 segmented, 1 failed; the pictures are in {tmp_path / 'out'}"


def test_folders_below_that_are_left_out_are_told(run: Run, photo: Photo, tiny: Path, tmp_path: Path) -> None:
    for name in ("in/a.jpg", "in/sub/deep/b.jpg", "in/.hidden/c.jpg"):
        photo(name)
    (tmp_path / "in/empty").mkdir()
    flags = ("--model", tiny, "--output", tmp_path / "in/out")
    for _ in range(2):  # the second time there are pictures in the output, which are not told
        status, out, err = run("segment", tmp_path / "in", *flags)
        assert err == (
            f"deeplab: {tmp_path / 'in'}: images in the folders below are left out (sub); "
            f"'{tmp_path / 'in'}/**' names all\n"
        )
        assert (status, out.splitlines()[-1][:11]) == (0, "1 segmented")
    out = run("segment", f"{tmp_path / 'in'}/**", "--model", tiny, "--output", tmp_path / "out").out
    assert {line.split("\t")[0].rpartition("/")[2] for line in out.splitlines()[:-1]} == {"a.jpg", "b.jpg", "a.png"}


def test_pictures_of_kinds_that_are_not_read_are_told_of_a_folder(
    run: Run, photo: Photo, tiny: Path, tmp_path: Path
) -> None:
    photo("in/a.jpg")
    for name in ("b.HEIC", "c.heic", "d.mp4", "notes.txt", ".e.heic"):
        (tmp_path / "in" / name).write_bytes(b"...")
    status, out, err = run("segment", tmp_path / "in", "--model", tiny, "--output", tmp_path / "out")
    assert (status, out.splitlines()[-1][:11]) == (0, "1 segmented")
    assert err == (
        f"deeplab: {tmp_path / 'in'}: files that cannot be read are left out (2 .heic, 1 .mp4); "
        "save them as JPEG or PNG\n"
    )


def test_the_shares_stand_beside_the_right_name_after_a_bad_file(
    run: Run, photo: Photo, tiny: Path, tmp_path: Path
) -> None:
    (tmp_path / "a.png").write_bytes(b"no image")
    Image.new("RGB", (50, 40)).save(tmp_path / "b.png")
    run(
        "segment",
        tmp_path / "a.png",
        tmp_path / "b.png",
        photo("c.png"),
        "--model",
        tiny,
        "--output",
        tmp_path / "o",
    )
    sizes = {}
    for name in ("b", "c"):
        with Image.open(tmp_path / "o" / f"{name}.png") as labels:
            sizes[name] = labels.size
    assert sizes == {"b": (50, 40), "c": (32, 24)}


def test_a_file_of_several_pictures_is_told_once(run: Run, photo: Photo, tiny: Path, tmp_path: Path) -> None:
    pages = [Image.fromarray(np.full((24, 32, 3), value, np.uint8)) for value in (0, 100, 200)]
    pages[0].save(tmp_path / "scan.tif", save_all=True, append_images=pages[1:])
    status, _, err = run(
        "segment", photo("x.jpg"), tmp_path / "scan.tif", "--model", tiny, "--output", tmp_path / "out"
    )
    told = "holds 3 pictures, of which the first is segmented; save each as a file of its own"
    assert (status, err) == (0, f"deeplab: {tmp_path / 'scan.tif'}: {told}\n")


def test_a_missing_input_is_named_and_the_rest_is_done(run: Run, photo: Photo, tiny: Path, tmp_path: Path) -> None:
    status, _, err = run("segment", "gone.jpg", photo("x.jpg"), "--model", tiny, "--output", tmp_path / "out")
    assert (status, err) == (2, "deeplab: gone.jpg: no such file or folder\n")
    assert (tmp_path / "out" / "x.png").is_file()


def test_the_same_name_in_two_folders_gives_two_pictures_and_says_so(
    run: Run, photo: Photo, tiny: Path, tmp_path: Path
) -> None:
    second = photo("b/x.png")
    status, _, err = run("segment", photo("a/x.jpg"), second, "--model", tiny, "--output", tmp_path / "out")
    assert status == 0
    written = tmp_path / "out" / "x_2.png"
    assert err == f"deeplab: {second}: an image of that name came before; written as {written}\n"
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == ["x.png", "x_2.png"]


def test_an_input_is_never_overwritten(run: Run, photo: Photo, tiny: Path, tmp_path: Path) -> None:
    png, jpg = photo("x.png"), photo("y.jpg")
    before = png.read_bytes()
    status, _, err = run("segment", png, jpg, "--model", tiny, "--output", tmp_path)
    assert status == 2
    assert err == f"deeplab: {png}: its picture would replace the input {png}; choose another --output\n"
    assert png.read_bytes() == before
    assert (tmp_path / "y.png").is_file()


def test_an_input_behind_a_link_is_not_overwritten(run: Run, photo: Photo, tiny: Path, tmp_path: Path) -> None:
    png = photo("in/x.png")
    try:
        (tmp_path / "out").symlink_to(tmp_path / "in", target_is_directory=True)
    except OSError:
        pytest.skip("this system makes no links")
    before = png.read_bytes()
    assert run("segment", png, "--model", tiny, "--output", tmp_path / "out").status == 2
    assert png.read_bytes() == before


def test_one_picture_never_replaces_another_of_the_same_run(run: Run, photo: Photo, tiny: Path, tmp_path: Path) -> None:
    paths = photo("x.jpg"), photo("x_overlay.jpg")
    status, _, err = run("segment", *paths, "--overlay", "--model", tiny, "--output", tmp_path / "out")
    assert status == 2
    assert f"{paths[1]}: its picture would replace that of {paths[0]}; segment it by itself" in err


def test_links_that_lead_to_themselves_are_told_and_the_rest_goes_on(
    run: Run, photo: Photo, tiny: Path, tmp_path: Path
) -> None:
    path = photo("in/x.jpg")
    link = path.with_name("self.jpg")
    try:
        link.symlink_to(link)
    except OSError:
        pytest.skip("this system makes no links")
    status, _, err = run("segment", path.parent, "--model", tiny, "--output", tmp_path / "out")
    assert status == 2
    assert err == f"deeplab: {link}: no such file\n"
    assert (tmp_path / "out" / "x.png").is_file()


def test_an_output_that_is_a_file_is_refused_before_the_model_is_loaded(run: Run, photo: Photo, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("taken")
    status, _, err = run("segment", photo("x.jpg"), "--model", "gone.safetensors", "--output", tmp_path / "out")
    assert status == 2
    assert err.startswith(f"deeplab: {tmp_path / 'out'}: cannot be written (Not a directory)")


def test_a_model_that_is_not_there_is_said(run: Run, photo: Photo, tmp_path: Path) -> None:
    missing = tmp_path / "gone.safetensors"
    status, out, err = run("segment", photo("x.jpg"), "--model", missing, "--output", tmp_path / "out")
    assert (status, out) == (2, "")
    assert f"no model file {missing}" in err
    assert not (tmp_path / "out").exists()


def test_a_crf_sharpens_what_is_written(run: Run, photo: Photo, tiny: Path, tmp_path: Path) -> None:
    def probabilities(*flags: Any) -> Any:
        out = tmp_path / "_".join(map(str, flags))
        assert run("segment", photo("x.jpg"), "--model", tiny, "--output", out, "--probabilities", *flags).status == 0
        with np.load(out / "x.npz") as file:
            return file["probabilities"]

    plain, sharp, other = probabilities(), probabilities("--crf"), probabilities("--crf", "v1")
    assert np.abs(plain - sharp).max() > 0.01
    assert np.abs(sharp - other).max() > 1e-4
    np.testing.assert_allclose(sharp.sum(axis=0), 1, atol=1e-5)


def test_a_crf_may_come_from_a_file(run: Run, photo: Photo, tiny: Path, tmp_path: Path) -> None:
    save_crf(tmp_path / "own.json", DenseCRF("v1"))
    for name, value in (("file", tmp_path / "own.json"), ("name", "v1")):
        status = run("segment", photo("x.jpg"), "--model", tiny, "--output", tmp_path / name, "--crf", value).status
        assert status == 0
    assert (tmp_path / "file" / "x.png").read_bytes() == (tmp_path / "name" / "x.png").read_bytes()


def test_a_crf_without_a_name_may_stand_before_the_photo(run: Run, photo: Photo, tiny: Path, tmp_path: Path) -> None:
    status, _, err = run("segment", "--model", tiny, "--output", tmp_path / "out", "--crf", photo("x.jpg"))
    assert (status, err) == (0, "")
    assert (tmp_path / "out" / "x.png").is_file()


def test_a_plain_word_after_crf_that_is_nothing_else_was_meant_as_a_preset(run: Run, photo: Photo, tiny: Path) -> None:
    for words in (("segment", photo("x.jpg"), "--crf", "v9"), ("evaluate", tiny, "--crf", "v9", "data")):
        status, _, err = run(*words)
        assert status == 2
        assert err.startswith("deeplab: no file, folder or CRF preset 'v9'; there are crf-rnn, v1, v1-coco")
        assert err.count("\n") == 1


@pytest.mark.parametrize("name", ["gone.jpg", "gone/photos", "gone*"])
def test_what_looks_like_a_path_after_crf_is_an_input(run: Run, name: str) -> None:
    status, _, err = run("segment", "--crf", name)
    assert status == 2
    assert err.startswith(f"deeplab: {name}: no ")


def test_a_folder_or_a_model_of_a_plain_name_may_stand_after_crf(
    run: Run, photo: Photo, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photo("v9/x.jpg")
    monkeypatch.chdir(tmp_path)
    assert run("segment", "--model", tiny, "--crf", "v9").err == ""
    assert run("evaluate", "--crf", "street", "gone").err.startswith("deeplab: gone: no such folder;")


@pytest.mark.parametrize(
    ("crf", "message"),
    [("v9", "no CRF preset 'v9'; there are crf-rnn, v1,"), ("no.json", "no.json: no such file; 'deeplab tune-crf'")],
)
def test_unknown_crf_parameters_are_refused(run: Run, photo: Photo, tiny: Path, crf: str, message: str) -> None:
    status, _, err = run("segment", photo("x.jpg"), "--model", tiny, f"--crf={crf}")
    assert status == 2
    assert err.startswith(f"deeplab: {message}")
    assert err.count("\n") == 1


def test_a_large_image_goes_row_by_row_and_gives_the_same(
    run: Run, photo: Photo, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("rasterio", reason="large images are read by rasterio")
    paths = [photo("a.png"), photo("b.png")]
    Image.new("RGB", (10, 10), "red").save(paths[1])
    whole = run("segment", *paths, "--model", tiny, "--output", tmp_path / "whole", "--overlay", "--json")
    monkeypatch.setattr("deeplab.images.large.LARGE", 100)
    by_rows = run("segment", *paths, "--model", tiny, "--output", tmp_path / "rows", "--overlay", "--json")
    assert by_rows.status == whole.status == 0
    before, after = (
        {each["image"]: each for each in json.loads(r.out.splitlines()[-1])["images"]} for r in (whole, by_rows)
    )
    assert before.keys() == after.keys()
    for name, each in after.items():
        assert each["areas"] == before[name]["areas"]
    for name in ("a.png", "a_overlay.png", "b.png", "b_overlay.png"):
        with Image.open(tmp_path / "whole" / name) as one, Image.open(tmp_path / "rows" / name) as other:
            np.testing.assert_array_equal(np.array(one), np.array(other))


@pytest.mark.parametrize(("side", "told"), [(16, True), (60, False)])
def test_a_large_image_of_which_the_network_sees_little_is_said(
    run: Run, photo: Photo, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, side: int, told: bool
) -> None:
    pytest.importorskip("rasterio", reason="large images are read by rasterio")
    monkeypatch.setattr("deeplab.images.large.LARGE", 100)
    path = photo("large.png")
    Image.new("RGB", (100, 80), "red").save(path)
    err = run("segment", path, "--model", tiny, "--output", tmp_path / "out", "--long-side", side).err
    words = "large.png: 80 x 100 pixels, which the network sees as 13 x 16; to find what is small, --long-side 100"
    assert (words in err) == told


def test_a_large_image_that_is_damaged_is_told_and_the_rest_goes_on(
    run: Run, photo: Photo, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("rasterio", reason="large images are read by rasterio")
    monkeypatch.setattr("deeplab.images.large.LARGE", 100)
    good, bad = photo("good.png"), photo("bad.png")
    bad.write_bytes(bad.read_bytes()[:-20])
    status, out, err = run("segment", bad, good, "--model", tiny, "--output", tmp_path / "out")
    assert status == 2
    assert "1 segmented" in out
    assert "bad.png: ends before the picture does; fetch it again" in err
    assert [file.name for file in (tmp_path / "out").iterdir()] == ["good.png"]


def test_an_image_larger_than_the_memory_is_refused_with_the_way_out(
    run: Run, photo: Photo, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deeplab.images.opening.free_memory", lambda: 1000)
    status, _, err = run("segment", photo("x.jpg"), "--model", tiny, "--output", tmp_path / "out", "--flip")
    assert status == 2
    assert "24 x 32 pixels take 0.0 GiB of memory" in err
    assert "row by row: pip install 'deeplab[geo]', no AVIF, and no --crf, --scales, --flip, --probabilities or" in err
