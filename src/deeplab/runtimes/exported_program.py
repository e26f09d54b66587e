"""torch.export's own format (.pt2): the traced graph for PyTorch, without this package's code of networks.

It is what AOTInductor compiles from.
"""

from __future__ import annotations

import warnings
import zipfile
from pathlib import Path
from typing import Any

from deeplab.errors import CheckpointError, SettingsError
from deeplab.files import written_aside
from deeplab.runtimes._exported import KEY, Description, EngineNetwork, Exported, check_shape, incomplete
from deeplab.runtimes._int8 import Int8

__all__ = ["load", "save"]


def save(path: Path, graph: Any, *, int8: Int8 | None = None) -> None:
    """Write a `Graph`.

    Raises:
        SettingsError: No such model can be exported, or it is to have 8-bit numbers.
        OutputError: The file cannot be written.
    """
    import torch

    if int8 is not None:
        raise SettingsError("int8 is for onnx, openvino and litert, not for exported-program; leave one out")
    description = graph.description()
    with written_aside(path) as aside:
        torch.export.save(graph.program, str(aside), extra_files={KEY: description.to_json()})


def load(path: Path) -> Exported:
    """Open a file that `save` wrote.

    Raises:
        CheckpointError: The file is damaged or not ours.
    """
    if not zipfile.is_zipfile(path):  # over which torch would log a traceback
        raise CheckpointError(f"{path}: not a complete .pt2 file; copy or export it again")
    import torch

    extra: dict[str, Any] = {KEY: ""}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # where the description is missing; said below
            program = torch.export.load(str(path), extra_files=extra)
    except Exception as error:  # of many kinds
        raise incomplete(path, ".pt2 file", error) from error
    description = Description.from_json(extra[KEY], path)
    (image,) = (node for node in program.graph.nodes if node.name in program.graph_signature.user_inputs)
    outputs = {node.name: node for node in program.graph.nodes}
    logits = outputs[str(program.graph_signature.user_outputs[0])]
    check_shape(path, description, image.meta["val"].shape, logits.meta["val"].shape)
    module = program.module()

    @torch.inference_mode()
    def run(images: Any) -> Any:
        found = module(torch.from_numpy(images))
        return (found[0] if isinstance(found, tuple) else found).numpy()

    @torch.inference_mode()
    def run_both(images: Any) -> Any:
        logits, labels = module(torch.from_numpy(images))
        return logits.numpy(), labels.numpy()

    has_labels = len(program.graph_signature.user_outputs) > 1
    return Exported(
        EngineNetwork(run, description, engine="PyTorch's graph", path=path, run_both=run_both if has_labels else None)
    )
