"""Inputs are found once each, and outputs are whole or not there."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from deeplab.errors import ImageError, InputNotFoundError, OutputError
from deeplab.files import (
    cache_folder,
    check_writable,
    distinct_stems,
    expand_inputs,
    folder_written_aside,
    folders_left_out,
    written_aside,
    written_together,
)

SUFFIXES = (".jpg", ".png")


@pytest.fixture
def folder(tmp_path):
    for name in ("b.jpg", "a.PNG", "notes.txt", "Thumbs.db", "._b.jpg", ".hidden.png", "with space é漢.jpg"):
        (tmp_path / name).touch()
    (tmp_path / "deeper.jpg").mkdir()
    (tmp_path / "deeper.jpg" / "c.jpg").touch()
    return tmp_path


def names(paths):
    return [path.name for path in paths]


def test_a_folder_gives_its_images_sorted_without_hidden_files_and_sub_folders(folder):
    assert names(expand_inputs([folder], suffixes=SUFFIXES)) == ["a.PNG", "b.jpg", "with space é漢.jpg"]


def test_a_pattern_gives_the_images_that_it_matches(folder):
    assert names(expand_inputs([f"{folder}/*b*"], suffixes=SUFFIXES)) == ["b.jpg"]


def test_a_double_star_goes_into_sub_folders(folder):
    assert "c.jpg" in names(expand_inputs([f"{folder}/**/*.jpg"], suffixes=SUFFIXES))


def test_a_file_is_kept_whatever_its_suffix_or_hidden(folder):
    inputs = [folder / "notes.txt", str(folder / ".hidden.png")]
    assert names(expand_inputs(inputs, suffixes=SUFFIXES)) == ["notes.txt", ".hidden.png"]


def test_inputs_keep_their_order_and_count_once(folder):
    inputs = [folder / "b.jpg", folder, f"{folder}/*.jpg"]
    assert names(expand_inputs(inputs, suffixes=SUFFIXES)) == ["b.jpg", "a.PNG", "with space é漢.jpg"]


def test_a_file_counts_once_also_where_a_folder_leads_back_to_itself(folder):
    try:
        (folder / "again").symlink_to(folder, target_is_directory=True)
    except OSError:
        pytest.skip("this system makes no links")
    assert expand_inputs([f"{folder}/**/*.jpg"], suffixes=SUFFIXES) == [
        folder / "b.jpg",
        folder / "deeper.jpg" / "c.jpg",
        folder / "with space é漢.jpg",
    ]
    assert expand_inputs([folder / "again" / "b.jpg", folder / "b.jpg"], suffixes=SUFFIXES) == [folder / "again/b.jpg"]
    assert folders_left_out(folder, suffixes=SUFFIXES) == [folder / "deeper.jpg"]


def test_a_files_own_name_comes_before_those_of_links_in_its_folder(tmp_path, monkeypatch):
    (tmp_path / "real.jpg").touch()
    for link in ("a.jpg", "z.jpg"):
        (tmp_path / link).symlink_to("real.jpg")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "far.jpg").touch()
    for link in ("x.jpg", "y.jpg"):
        (tmp_path / link).symlink_to("elsewhere/far.jpg")
    listed = sorted(tmp_path.iterdir())
    for order in (listed, listed[::-1]):  # a folder lists its files in any
        monkeypatch.setattr(type(tmp_path), "iterdir", lambda folder, order=order: iter(order))
        assert names(expand_inputs([tmp_path], suffixes=SUFFIXES)) == ["real.jpg", "x.jpg"]


def test_images_in_folders_below_are_named_where_a_folder_has_none(tmp_path):
    (tmp_path / "in" / "sub").mkdir(parents=True)
    (tmp_path / "in" / "sub" / "a.jpg").touch()
    with pytest.raises(InputNotFoundError, match=r"the folders below are named by '.*/in/\*\*'$"):
        expand_inputs([tmp_path / "in"], suffixes=SUFFIXES)
    assert names(expand_inputs([tmp_path / "in/**"], suffixes=SUFFIXES)) == ["a.jpg"]


@pytest.mark.parametrize(
    ("item", "way_out"),
    [
        ("-", "nothing is read from a pipe"),
        ("https://example.org/x.jpg", "nothing is downloaded"),
        ("--output", "put options before it"),
    ],
)
def test_a_word_that_names_no_file_by_intention_is_told_what_to_do(item, way_out):
    with pytest.raises(InputNotFoundError, match=way_out):
        expand_inputs([item], suffixes=SUFFIXES)


def test_a_file_may_have_a_name_that_looks_like_a_pattern(tmp_path):
    odd = tmp_path / "photo[1].jpg"
    odd.touch()
    assert expand_inputs([odd], suffixes=SUFFIXES) == [odd]


def test_a_link_in_a_folder_is_kept_even_when_it_leads_nowhere(tmp_path):
    (tmp_path / "lost.jpg").symlink_to(tmp_path / "gone.jpg")
    assert names(expand_inputs([tmp_path], suffixes=SUFFIXES)) == ["lost.jpg"]  # for reading to name it


@pytest.mark.parametrize("name", ["missing.jpg", "missing*.jpg", "empty"])
def test_an_input_without_files_is_an_error_that_names_it(tmp_path, name):
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputNotFoundError) as error:
        expand_inputs([tmp_path / name], suffixes=SUFFIXES)
    assert str(tmp_path / name) in str(error.value)
    assert "\n" not in str(error.value)


def test_output_stems_are_distinct_also_where_case_does_not_count():
    paths = [Path("a/x.jpg"), Path("b/x.jpg"), Path("a/X.png"), Path("a/y.tar.png")]
    assert distinct_stems(paths) == ["x", "x_2", "X_3", "y.tar"]


def test_a_file_written_aside_replaces_the_old_one_at_the_end(tmp_path):
    target = tmp_path / "new folder" / "mask.png"
    for text in ("old", "new"):
        with written_aside(target) as aside:
            aside.write_text(text)
            assert aside.parent == target.parent
            assert aside.suffix == target.suffix
            assert aside.name.startswith(".")
            assert not target.exists() or target.read_text() == "old"
    assert target.read_text() == "new"
    assert list(target.parent.iterdir()) == [target]


def write_half(target, failure):
    with written_aside(target) as aside:
        aside.write_text("half")
        raise failure


@pytest.mark.parametrize("failure", [ValueError, KeyboardInterrupt, ImageError])
def test_a_failure_in_the_middle_leaves_the_old_file(tmp_path, failure):
    target = tmp_path / "mask.png"
    target.write_text("old")
    with pytest.raises(failure):
        write_half(target, failure)
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_a_folder_written_aside_gets_its_name_at_the_end(tmp_path):
    with folder_written_aside(tmp_path / "deeper" / "copy") as aside:
        (aside / "masks").mkdir()
        assert aside.name.startswith(".")
        assert not (tmp_path / "deeper" / "copy").exists()
    assert (tmp_path / "deeper" / "copy" / "masks").is_dir()
    assert names((tmp_path / "deeper").iterdir()) == ["copy"]


@pytest.mark.parametrize("way", [folder_written_aside, written_together])
def test_a_failure_in_the_middle_leaves_no_folder(tmp_path, way):
    def fail():
        with way(tmp_path / "copy") as aside:
            (aside if way is folder_written_aside else aside.parent).joinpath("half").touch()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_there_already_is_not_replaced(tmp_path):
    (tmp_path / "copy").mkdir()
    (tmp_path / "copy" / "old").touch()
    with pytest.raises(OutputError, match="copy: cannot be written"), folder_written_aside(tmp_path / "copy"):
        pass
    assert names(tmp_path.rglob("*")) == ["copy", "old"]


def test_a_new_file_has_the_usual_permissions(tmp_path):
    (tmp_path / "usual").touch()
    with written_aside(tmp_path / "mask.png") as aside:
        aside.touch()
    assert (tmp_path / "mask.png").stat().st_mode == (tmp_path / "usual").stat().st_mode


def test_a_link_is_followed_to_the_file_that_it_names(tmp_path):
    (tmp_path / "real.png").write_text("old")
    (tmp_path / "link.png").symlink_to("real.png")
    with written_aside(tmp_path / "link.png") as aside:
        aside.write_text("new")
    assert (tmp_path / "link.png").is_symlink()
    assert (tmp_path / "real.png").read_text() == "new"


def test_a_folder_that_cannot_be_made_is_an_output_error_with_the_way_out(tmp_path):
    (tmp_path / "file").touch()
    target = tmp_path / "file" / "masks" / "mask.png"  # under a file nobody can write, root neither
    with pytest.raises(OutputError, match="choose another output") as error, written_aside(target):
        pytest.fail("the body runs only where it can write")
    assert str(target) in str(error.value)


def test_a_folder_in_the_place_of_the_file_is_an_output_error(tmp_path):
    (tmp_path / "mask.png").mkdir()
    with pytest.raises(OutputError), written_aside(tmp_path / "mask.png") as aside:
        aside.touch()
    assert names(tmp_path.iterdir()) == ["mask.png"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("folder", [True, False])
def test_what_can_be_written_is_tried_and_nothing_is_left(tmp_path, folder):
    check_writable(tmp_path / "new" / "deeper", folder=folder)
    check_writable(tmp_path / "new", folder=folder)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "old").mkdir() if folder else (tmp_path / "old").touch()
    check_writable(tmp_path / "old", folder=folder)


@pytest.mark.parametrize(
    ("path", "folder", "reason"),
    [
        ("folder", False, "Is a directory"),
        ("file", True, "Not a directory"),
        ("file/deeper", True, "Not a directory"),
        ("file/deeper/page.html", False, "Not a directory"),
        pytest.param(
            "/proc/page.html", False, "No such file", marks=pytest.mark.skipif(sys.platform != "linux", reason="/proc")
        ),
    ],
)
def test_what_cannot_be_written_is_an_output_error_at_once(tmp_path, path, folder, reason):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match=rf"{path}: cannot be written \({reason}.*\); choose another output place"):
        check_writable(tmp_path / path, folder=folder)


def test_a_full_disk_is_an_output_error(tmp_path):
    with pytest.raises(OutputError, match="No space left"), written_aside(tmp_path / "mask.png"):
        Path("/dev/full").write_text("x")


@pytest.mark.parametrize(
    "system, variables, folder",
    [
        ("linux", {}, "~/.cache/deeplab"),
        ("linux", {"XDG_CACHE_HOME": "/big"}, "/big/deeplab"),
        ("darwin", {}, "~/Library/Caches/deeplab"),
        ("win32", {"LOCALAPPDATA": "/local"}, "/local/deeplab"),
        ("win32", {"DEEPLAB_CACHE": "~/mine"}, "~/mine"),
    ],
)
def test_the_cache_is_where_the_system_keeps_them_or_where_it_is_told(monkeypatch, system, variables, folder):
    for name in ("DEEPLAB_CACHE", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "platform", system)
    assert cache_folder() == Path(folder).expanduser()
