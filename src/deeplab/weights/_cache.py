"""The cache of published checkpoints: each has a folder, with its file as published and, once converted, our model."""

from __future__ import annotations

import gzip
import logging
import re
import shutil
import tarfile
import zlib
from dataclasses import replace
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory

from deeplab._progress import download_progress
from deeplab.errors import CheckpointError, InputNotFoundError
from deeplab.files import alone_in, cache_folder
from deeplab.weights._download import download, sha256_of
from deeplab.weights._published import Published

__all__ = ["cached", "fetch", "unpack"]

logger = logging.getLogger(__name__)


def cached(entry: Published) -> Path:
    """Where the converted model is, or will be."""
    return cache_folder() / entry.name / "model.safetensors"


def fetch(entry: Published) -> Path:
    """The converted model, which is downloaded and converted if this is the first time.

    A file that somebody put into its folder is taken in place of a download, and stays; what was downloaded is deleted
    once it has been converted.

    Raises:
        DownloadError: It cannot be downloaded.
        InputNotFoundError: Only a person can download it; the line says from where and to where.
        CheckpointError: What came is damaged, or nothing that we read.
        OutputError: The cache cannot be written.
    """
    model = cached(entry)
    if not model.is_file():
        with alone_in(model.parent):
            if not model.is_file():  # nobody else made it meanwhile
                _make(entry, model)
    return model


def _make(entry: Published, model: Path) -> None:
    from deeplab import checkpoints
    from deeplab.weights._sources import convert

    file = model.with_name(entry.file)
    by_hand = file.is_file()
    if by_hand:
        _check(entry, file)
    else:
        _download(entry, file)
    try:
        with TemporaryDirectory(dir=file.parent, prefix=".") as aside:
            source = unpack(file, Path(aside)) if file.name.endswith(".tar.gz") else file
            checkpoint = convert(source, source=entry.source, output_stride=entry.output_stride).checkpoint
    except CheckpointError:
        if not by_hand:
            file.unlink()
        raise
    origin = {"published_as": entry.name, "data": entry.data, "licence": entry.licence}
    checkpoints.save(model, replace(checkpoint, training={**checkpoint.training, **origin}))
    if not by_hand:
        file.unlink()


def _download(entry: Published, file: Path) -> None:
    if entry.url is None:
        raise InputNotFoundError(f"{entry.name}: download {entry.file} from {entry.page} and put it into {file.parent}")
    logger.info("downloading %s from %s", entry.name, entry.url)
    with download_progress(f"Downloading {entry.name}") as show:
        download(entry.url, file, sha256=entry.sha256, on_bytes=show)


def _check(entry: Published, file: Path) -> None:
    if entry.sha256 and not sha256_of(file).startswith(entry.sha256):
        raise CheckpointError(
            f"{file}: not the published file, whose SHA-256 begins with {entry.sha256}; delete it and get it again"
        )


def unpack(archive: Path, folder: Path) -> Path:
    """The index of the TensorFlow checkpoint in a .tar.gz, unpacked into `folder` with its data and nothing else.

    Raises:
        CheckpointError: The archive is damaged, tries to write elsewhere, or holds no checkpoint or several.
    """
    try:
        with tarfile.open(archive) as tar:
            for member in tar:
                if re.search(r"\.(index|data-\d{5}-of-\d{5})$", member.name):
                    _unpack_member(tar, member, folder, archive=archive)
    except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise CheckpointError(f"{archive}: a damaged archive ({error}); delete it and get it again") from error
    found = sorted(folder.glob("*.index"))
    if len(found) != 1:
        raise CheckpointError(f"{archive}: wanted one TensorFlow checkpoint in it, found {len(found)}")
    return found[0]


def _unpack_member(tar: tarfile.TarFile, member: tarfile.TarInfo, folder: Path, *, archive: Path) -> None:
    path = PurePosixPath(member.name)
    content = tar.extractfile(member) if member.isreg() else None
    if content is None or path.is_absolute() or ".." in path.parts or (folder / path.name).exists():
        raise CheckpointError(f"{archive}: {member.name} in it is no plain file of one folder; not unpacked")
    with content, (folder / path.name).open("wb") as file:
        shutil.copyfileobj(content, file)
