"""The parameters of a CRF in a small JSON file, as `deeplab tune-crf` writes and `--crf` takes it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

import numpy as np

from deeplab.crf.dense_crf import DenseCRF
from deeplab.crf.pairwise import PairwiseKernel
from deeplab.errors import InputNotFoundError, SettingsError
from deeplab.files import written_aside

__all__ = ["open_crf", "save_crf"]


def open_crf(crf: str | Path) -> DenseCRF:
    """The CRF of a preset's name, or that of a .json file.

    Raises:
        UnknownNameError: No preset of that name.
        InputNotFoundError: No such file.
        SettingsError: The file is no JSON of a CRF, or a number in it cannot work.
    """
    path = Path(crf)
    if path.suffix.lower() != ".json":
        return DenseCRF(str(crf))
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputNotFoundError(f"{path}: no such file; 'deeplab tune-crf' writes one") from error
    except (OSError, ValueError) as error:  # also bytes that are no text
        raise SettingsError(f"{path}: not readable as JSON ({error}); 'deeplab tune-crf' writes such a file") from error
    if not (isinstance(values, dict) and isinstance(values.get("kernels"), list) and values["kernels"]):
        raise SettingsError(f'{path}: wanted {{"kernels": [{{"weight": ..., "sigma_xy": ...}}]}}, as tune-crf writes')
    try:
        return DenseCRF([_kernel(each) for each in values["kernels"]], iterations=values.get("iterations", 10))
    except (TypeError, ValueError) as error:
        raise SettingsError(f"{path}: {error}; wanted kernels as 'deeplab tune-crf' writes them") from error


def save_crf(path: str | Path, crf: DenseCRF, *, about: Mapping[str, Any] | None = None) -> None:
    """Write a .json file that `open_crf` reads.

    Args:
        about: What else is to stand in it, for people.

    Raises:
        SettingsError: The name does not end in .json.
        OutputError: It cannot be written.
    """
    if Path(path).suffix.lower() != ".json":
        raise SettingsError(f"a CRF is written to a file that ends in .json, got {path}")
    values = {"kernels": [_plain(each) for each in crf.kernels], "iterations": crf.iterations, **(about or {})}
    text = json.dumps(values, indent=2, ensure_ascii=False, default=np.generic.item)  # NumPy's numbers as Python's
    with written_aside(path) as aside:
        aside.write_text(text + "\n", encoding="utf-8")


def _kernel(values: Any) -> PairwiseKernel:
    known = [option.name for option in fields(PairwiseKernel)]
    if not isinstance(values, dict) or not values.keys() <= set(known):
        raise ValueError(f"a kernel has {', '.join(known)}, got {values!r}")
    sigmas = {name: tuple(value) for name, value in values.items() if "sigma" in name and isinstance(value, list)}
    return PairwiseKernel(**values | sigmas)


def _plain(kernel: PairwiseKernel) -> dict[str, Any]:
    """The numbers of a kernel, without those that are as always."""
    values = {option.name: getattr(kernel, option.name) for option in fields(kernel)}
    if kernel.compatibility is not None:
        values["compatibility"] = np.asarray(kernel.compatibility).tolist()
    always = {option.name: option.default for option in fields(kernel) if option.default is not MISSING}
    return {name: value for name, value in values.items() if name not in always or value != always[name]}
