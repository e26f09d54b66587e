"""What was read of files that have not changed since, kept in the user's cache folder."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import fields
from hashlib import sha256
from pathlib import Path
from types import TracebackType
from typing import Any

from deeplab.data.dataset import DataSet
from deeplab.data.doctor.inspection import ImageFacts, Inspection, MaskFacts, Parts
from deeplab.data.sample import Sample
from deeplab.errors import OutputError
from deeplab.files import cache_folder, written_aside
from deeplab.images import Header

__all__ = ["RememberedFacts"]

logger = logging.getLogger(__name__)

VERSION = 2
"""Of the meaning of what is kept; a new number forgets what was read before."""

WORTHWHILE = 100
"""Samples; fewer are read again sooner than remembered."""


class RememberedFacts:
    """Facts by sample; a context, at whose end, also after Ctrl-C, they are written.

    A file counts as unchanged while its size and its time of change are the same.
    """

    def __init__(self, dataset: DataSet, samples: Sequence[Sample]) -> None:
        kept = [field.name for kind in (ImageFacts, MaskFacts, Parts, Header) for field in fields(kind)]
        what = [VERSION, kept, str(dataset.root.resolve()), dataset.classes, dataset.palette.tolist()]
        self.path = cache_folder() / "doctor" / f"{sha256(json.dumps(what).encode()).hexdigest()[:32]}.json"
        self._known: dict[str, Any] = {}
        self._worthwhile = len(samples) >= WORTHWHILE
        self._new = False

    def get(self, sample: Sample) -> Inspection | None:
        """What is known of the sample as its files are now."""
        stamp, facts = self._known.get(_key(sample), (None, None))
        return _inspection(facts) if facts is not None and stamp == _stamp(sample) else None

    def put(self, sample: Sample, facts: Inspection) -> Inspection:
        """Remember `facts`, and return them."""
        if self._worthwhile and (stamp := _stamp(sample)) is not None:
            self._known[_key(sample)] = [stamp, facts]
            self._new = True
        return facts

    def __enter__(self) -> RememberedFacts:
        if self._worthwhile:
            with suppress(OSError, ValueError):  # nothing is known, or nothing that can be read
                self._known = json.loads(self.path.read_bytes())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._new:
            return
        try:
            with written_aside(self.path) as aside:
                aside.write_text(json.dumps(self._known, default=vars), encoding="utf-8")
        except OutputError as problem:
            logger.info("what was read is not remembered: %s", problem)


def _key(sample: Sample) -> str:
    """An image may be in two lists with other masks."""
    return f"{sample.image}\n{sample.mask}"


def _stamp(sample: Sample) -> list[Any] | None:
    """What changes when a file of the sample does; None where it is not made of files of its own."""
    stamps = []
    for part in (sample.image, sample.mask):
        if isinstance(part, Path):
            stamps.append(_file_stamp(part))
        elif part is not None:
            return None
    return stamps


def _file_stamp(file: Path) -> list[Any]:
    try:
        status = file.stat()
    except OSError:
        return [str(file)]
    return [str(file), status.st_size, status.st_mtime_ns]


def _inspection(facts: dict[str, Any]) -> Inspection:
    image = {**facts["image"], "header": _header(facts["image"]["header"])}
    mask = facts["mask"]
    if mask is not None:
        parts = tuple(Parts(**_as_tuples(part)) for part in mask["labels"])
        mask = MaskFacts(**_as_tuples({**mask, "header": _header(mask["header"])}) | {"labels": parts})
    return Inspection(ImageFacts(**_as_tuples(image)), mask)


def _header(values: dict[str, Any] | None) -> Header | None:
    return None if values is None else Header(**_as_tuples(values))


def _as_tuples(values: dict[str, Any]) -> dict[str, Any]:
    """With tuples for the lists that JSON makes of them."""

    def convert(value: Any) -> Any:
        return tuple(map(convert, value)) if isinstance(value, list) else value

    return {name: convert(value) for name, value in values.items()}
