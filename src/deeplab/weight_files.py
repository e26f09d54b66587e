"""Which file a user means by weights, and what it is where it is none."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path

__all__ = ["STATE", "STATE_BEFORE", "checkpoint_file", "not_weights"]

IMAGE = "an image, not weights; name the file of the model"

STARTS = (
    (b"version https://git-lfs", "a Git LFS pointer, not the weights themselves; fetch them with 'git lfs pull'"),
    (b"<!doctype html", "a web page, not weights; download the file again"),
    (b"<html", "a web page, not weights; download the file again"),
    (b"<?xml", "a web page, not weights; download the file again"),
    (b"\x1f\x8b", "a packed archive; unpack it and name the checkpoint in it"),
    (b"\x89hdf", "an HDF5 file as Keras writes, which is not read; take a checkpoint of PyTorch or TensorFlow"),
    *((begin, IMAGE) for begin in (b"\xff\xd8\xff", b"\x89png", b"gif8", b"riff", b"ii*\x00", b"mm\x00*")),
)
"""How files begin, in lower case, that are mistaken for weights."""

ENDINGS = {
    ".onnx": "an ONNX model, which can be segmented with but not read; take the checkpoint that it was made from",
    ".bmp": IMAGE,
}

SHARD = re.compile(r"(?P<checkpoint>.+)\.data-\d{5}-of-\d{5}")
"""How TensorFlow names the values of a checkpoint; what they are of is in the `.index` beside them."""

STATE, STATE_BEFORE = "last.ckpt", "previous.ckpt"
"""What a training is resumed from: that of the last epoch, and that of the one before, should the last be damaged."""


def checkpoint_file(path: Path) -> Path:
    """The file that `path` names; TensorFlow names a checkpoint by what its files have in common."""
    if not path.name:  # a folder: "." or a root
        return path
    index = path.with_name(f"{path.name}.index")
    return index if index.is_file() and not path.is_file() else path


def not_weights(path: Path) -> str | None:
    """What the file or folder `path` is that somebody took for trained weights, and the way out; None: no idea.

    Raises:
        OSError: It cannot be read.
    """
    if path.is_dir():
        return "a folder; name the file of weights in it"
    if path.name in (STATE, STATE_BEFORE):
        models = [path.with_name(f"{name}.safetensors") for name in ("best", "last")]
        if there := [str(model) for model in models if model.is_file()]:
            return f"what a training is resumed from; the model is {' or '.join(there)}"
    with path.open("rb") as file:
        start = file.read(512).lstrip().lower()
    if not start:
        return "empty; download or copy it again"
    if shard := SHARD.fullmatch(path.name):
        return f"the data of a TensorFlow checkpoint; name it without that: {shard['checkpoint']}"
    known = next((what for begin, what in STARTS if start.startswith(begin)), ENDINGS.get(path.suffix.lower()))
    return known or (_other_zip(path) if start.startswith(b"pk\x03\x04") else None)


def _other_zip(path: Path) -> str | None:
    """What a .zip is that is no PyTorch checkpoint."""
    try:
        with zipfile.ZipFile(path) as file:
            names = {name.rpartition("/")[2] for name in file.namelist()}
    except (zipfile.BadZipFile, NotImplementedError):
        return None  # a damaged one of some kind
    if "constants.pkl" in names:
        return "a TorchScript archive, which holds code; save the state_dict() of the model in it and take that"
    return None if "data.pkl" in names else "a .zip that is no checkpoint; unpack it and name the checkpoint in it"
