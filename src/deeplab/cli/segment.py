"""`deeplab segment INPUT...`"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from glob import escape
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from deeplab import api
from deeplab.cli._options import Json
from deeplab.cli._terminal import print_json, print_table, progress, warn
from deeplab.errors import DeepLabError, InputNotFoundError, OutputError
from deeplab.settings import LoadSettings, SegmentSettings

if TYPE_CHECKING:
    from deeplab.inference import Segmenter
    from deeplab.results import Segmentation

Fail = Callable[[Any, DeepLabError], None]

NOTED = 4
"""By how much a large image is made smaller for the network until it is said."""


def segment(settings: SegmentSettings, *, json: Json = False) -> None:
    """Segment photos and print the share of each class."""
    from deeplab.files import check_writable
    from deeplab.images import number_of_pictures
    from deeplab.images.georeference import copy_georeference
    from deeplab.inference.read_ahead import read_ahead

    failed: dict[str, str] = {}
    done: list[dict[str, Any]] = []

    def fail(source: str | Path, error: DeepLabError) -> None:
        failed[str(source)] = str(error)
        warn(str(error))

    def in_memory(segmenter: Segmenter, paths: Sequence[Path]) -> Iterator[tuple[Path, dict[str, float]]]:
        results = segmenter.stream(paths, on_error=fail)
        sources = (path for path in paths if str(path) not in failed)  # `fail` comes before the next result
        pairs = zip(map(complete, results), sources, strict=False)
        with progress("Segmenting", total=len(paths)) as advance:
            for (result, path), written in read_ahead(lambda pair: _write(pair[0], targets[pair[1]]), pairs, ahead=1):
                written.result()
                yield path, result.areas()
                advance()

    def complete(result: Segmentation) -> Segmentation:
        """Have what is written be there before the next image is worked on, as then what a CRF made is forgotten."""
        if settings.crf is not None and (settings.probabilities or settings.confidence):
            _ = result.probabilities
        return result

    def by_rows(segmenter: Segmenter, paths: Sequence[Path]) -> Iterator[tuple[Path, dict[str, float]]]:
        for path in paths:
            try:
                yield path, _write_large(segmenter, path, targets[path])
            except DeepLabError as error:
                fail(path, error)

    def rows(segmenter: Segmenter) -> Iterator[tuple[str, str, str]]:
        large = [path for path in targets if _goes_by_rows(path, settings)]
        small = [path for path in targets if path not in large]
        for path, areas in chain(in_memory(segmenter, small), by_rows(segmenter, large)):
            if (number := number_of_pictures(path)) > 1:
                warn(
                    f"{path}: holds {number} pictures, of which the first is segmented; save each as a file of its own"
                )
            copy_georeference(path, targets[path]["labels"])
            written = {kind: str(file) for kind, file in targets[path].items()}
            done.append({"image": str(path), **written, "areas": areas})
            yield from ((str(path), name, f"{share:.1%}") for name, share in areas.items())

    targets = _targets(_expanded(settings, fail), settings, fail)
    colors: dict[str, list[int]] = {}
    if targets:
        check_writable(settings.output, folder=True)
        segmenter = api.load(**settings.part(LoadSettings), progress=progress)
        colors = dict(zip(segmenter.classes, segmenter.palette.tolist(), strict=True))
        print_table(("Image", "Class", "Share"), rows(segmenter), figures=("Share",), colors=colors)
    if done:
        numbers = f"{len(done)} segmented, {len(failed)} failed" if failed else f"{len(done)} segmented"
        print(f"{numbers}; the pictures are in {settings.output}")
    if json:
        print_json({"images": done, "failed": failed, "colors": colors})
    if failed:
        raise typer.Exit(2)


def _expanded(settings: SegmentSettings, fail: Fail) -> list[Path]:
    """The files that the inputs name, each once; what is left out of a folder or lies below it is said."""
    from deeplab.files import each_once, expand_inputs
    from deeplab.images import IMAGE_SUFFIXES

    paths: list[Path] = []
    for item in settings.inputs:
        try:
            paths += expand_inputs([item], suffixes=IMAGE_SUFFIXES)
        except InputNotFoundError as error:
            fail(item, error)
            continue
        if Path(item).is_dir():
            _tell_left_out(Path(item), settings.output)
    return each_once(paths)


def _tell_left_out(folder: Path, output: Path) -> None:
    """Say what is in a folder that is not read, and which folders below have images too, but for the output."""
    from deeplab.files import folders_left_out
    from deeplab.images import IMAGE_SUFFIXES, OTHER_SUFFIXES

    kinds = [path.suffix.lower() for path in folder.iterdir() if not path.name.startswith(".")]
    others = [f"{kinds.count(kind)} {kind}" for kind in sorted(OTHER_SUFFIXES.intersection(kinds))]
    if others:
        warn(f"{folder}: files that cannot be read are left out ({', '.join(others)}); save them as JPEG or PNG")
    below = [path for path in folders_left_out(folder, suffixes=IMAGE_SUFFIXES) if path.resolve() != output.resolve()]
    if below:
        names = ", ".join(path.name for path in below[:3]) + (f" and {len(below) - 3} more" if len(below) > 3 else "")
        everything = escape(str(folder))
        warn(f"{folder}: images in the folders below are left out ({names}); '{everything}/**' names all")


def _targets(paths: list[Path], settings: SegmentSettings, fail: Fail) -> dict[Path, dict[str, Path]]:
    """What is written for each path, by kind. Paths whose pictures would replace an input or each other fail.

    Inputs with the same stem get different names, x and x_2, which is said.
    """
    from deeplab.files import distinct_stems

    targets: dict[Path, dict[str, Path]] = {}
    inputs = {_identity(path): path for path in paths}
    taken: dict[Any, Path] = {}
    for path, stem in zip(paths, distinct_stems(paths), strict=True):
        files = {"labels": settings.output / f"{stem}.png"}
        if settings.overlay:
            files["overlay"] = settings.output / f"{stem}_overlay.png"
        if settings.confidence:
            files["confidence"] = settings.output / f"{stem}_confidence.png"
        if settings.probabilities:
            files["probabilities"] = settings.output / f"{stem}.npz"
        written = [_identity(file) for file in files.values()]
        what = f"{path}: its picture would replace"
        if over := next((inputs[each] for each in written if each in inputs), None):
            fail(path, OutputError(f"{what} the input {over}; choose another --output"))
            continue
        if over := next((taken[each] for each in written if each in taken), None):
            fail(path, OutputError(f"{what} that of {over}; segment it by itself, to another --output"))
            continue
        if stem != path.stem:
            warn(f"{path}: an image of that name came before; written as {files['labels']}")
        taken |= dict.fromkeys(written, path)
        targets[path] = files
    return targets


def _identity(path: Path) -> Any:
    """What two paths of the same file have in common, also on systems where A.png is a.png."""
    if path.exists():
        status = path.stat()
        return status.st_dev, status.st_ino
    return os.path.realpath(path).casefold()  # Path.resolve would raise on links that lead to each other


def _goes_by_rows(path: Path, settings: SegmentSettings) -> bool:
    """Whether an image is so large that only some of its rows should be in memory, and nothing asked for forbids it."""
    from deeplab.images.large import is_large

    of_all_pixels = settings.crf is not None or settings.probabilities or settings.confidence
    return not (of_all_pixels or settings.flip or settings.scales != (1.0,)) and is_large(path)


def _write_large(segmenter: Segmenter, path: Path, files: dict[str, Path]) -> dict[str, float]:
    """Segment an image row by row, and return the share of each class; the overlay is of a smaller copy."""
    from deeplab.images import write_image
    from deeplab.inference import segment_file

    overview = segment_file(segmenter, path, files["labels"], progress=progress)
    if "overlay" in files:
        write_image(files["overlay"], overview.segmentation.overlay())
    (height, width), seen = overview.size, overview.seen
    if NOTED * max(seen) < max(height, width):
        warn(
            f"{path}: {height} x {width} pixels, which the network sees as {seen[0]} x {seen[1]}; "
            f"to find what is small, --long-side {max(height, width)} shows all of them, in tiles"
        )
    return overview.areas


def _write(result: Segmentation, files: dict[str, Path]) -> None:
    import numpy as np

    from deeplab.files import written_aside
    from deeplab.images import write_grey, write_image

    result.save(files["labels"])
    if "overlay" in files:
        write_image(files["overlay"], result.overlay())
    if "confidence" in files:
        write_grey(files["confidence"], np.rint(255 * result.confidence).astype(np.uint8))
    if "probabilities" in files:
        with written_aside(files["probabilities"]) as aside:
            np.savez_compressed(aside, probabilities=result.probabilities, classes=np.array(result.classes))
