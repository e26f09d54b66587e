"""The examples run as a reader would run them: as scripts, in an empty folder."""

from __future__ import annotations

import runpy
import subprocess
import sys
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path

import pytest
from PIL import Image

from deeplab.settings import TrainSettings, build

EXAMPLES = Path(__file__).parent.parent / "examples"


def run(script: str, *arguments: str | Path, folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(EXAMPLES / script), *map(str, arguments)]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True)


@pytest.fixture
def photo() -> Path:
    spec = find_spec("matplotlib")
    if spec is None or spec.origin is None:
        pytest.skip("matplotlib, which brings the photo, is not installed")
    return Path(spec.origin).parent / "mpl-data" / "sample_data" / "grace_hopper.jpg"


def test_the_demo_writes_its_pictures_and_says_where_they_are(tmp_path, photo):
    done = run("demo.py", "--output", "demo", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    written = {path.name for path in (tmp_path / "demo").iterdir()}
    endings = (".jpg", ".png", "_overlay.png", "_blurred.png", "_side_by_side.png")
    assert written == {f"grace_hopper{ending}" for ending in endings}
    assert "person" in done.stdout
    assert all(name in done.stdout for name in written)


def test_blurring_the_background_keeps_the_face_sharp_and_blurs_the_flag(tmp_path, photo):
    done = run("blur_background.py", photo, "--output", "blurred.png", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    before, after = Image.open(photo).convert("RGB"), Image.open(tmp_path / "blurred.png").convert("RGB")
    face, flag = (220, 160, 300, 240), (20, 60, 80, 160)  # left, top, right, bottom
    assert before.crop(face).tobytes() == after.crop(face).tobytes()
    assert contrast(after.crop(flag)) < contrast(before.crop(flag)) / 2


def test_a_photo_stands_beside_itself_with_sharper_edges(tmp_path, photo):
    Image.open(photo).resize((128, 150)).save(tmp_path / "small.png")
    sharpen_edges = runpy.run_path(str(EXAMPLES / "sharpen_edges.py"))["sharpen_edges"]
    joined = sharpen_edges(tmp_path / "small.png", crf="v1", long_side=161)
    assert joined.size == (2 * 128 + 4, 150)
    assert joined.crop((0, 0, 128, 150)).tobytes() != joined.crop((132, 0, 260, 150)).tobytes()


def test_a_photo_without_a_person_cannot_be_blurred_behind_one(tmp_path):
    Image.new("RGB", (64, 64)).save(tmp_path / "black.png")
    done = run("blur_background.py", "black.png", folder=tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith("blur_background: black.png: no person in it; found: ")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("script", ["train_street.py", "train_objects.py"])
def test_the_options_of_the_trainings_can_work(script):
    training = runpy.run_path(str(EXAMPLES / script))["TRAINING"]
    assert build(TrainSettings, {"data": "photos", **training}).epochs == training["epochs"]


def test_training_on_shapes_leaves_a_model_and_a_picture(tmp_path):
    done = run("train_on_shapes.py", "--output", "shapes", "--epochs", "1", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "mIoU" in done.stdout
    with Image.open(tmp_path / "shapes" / "unseen_overlay.png") as overlay:
        assert overlay.size == (128, 128)

    again = run("train_on_shapes.py", "--output", "shapes", "--epochs", "1", folder=tmp_path)
    assert again.returncode == 1
    assert again.stderr.splitlines()[-1].startswith("train_on_shapes: ")
    assert "Traceback" not in again.stderr


def contrast(picture: Image.Image) -> int:
    """Sum of the differences between one pixel and the next."""
    pixels = picture.convert("L").tobytes()
    return sum(abs(left - right) for left, right in pairwise(pixels))
