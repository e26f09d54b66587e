"""`deeplab convert CHECKPOINT`"""

from __future__ import annotations

from deeplab import api
from deeplab.cli._options import Json
from deeplab.cli._terminal import print_json
from deeplab.settings import ConvertSettings


def convert(settings: ConvertSettings, *, json: Json = False) -> None:
    """Turn another system's checkpoint into ours; no tensor is left silently."""
    output = api.convert(**settings.as_dict())
    from deeplab import checkpoints

    checkpoint = checkpoints.load(output)
    model = checkpoint.model
    figures = {
        "output": str(output),
        "source": checkpoint.training["source"],
        "model": model.entry,
        "backbone": model.arguments["backbone"],
        "classes": list(checkpoint.classes),
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
    }
    print(
        f"{output}: from {figures['source']}, {model.entry} on {figures['backbone']}, "
        f"{len(checkpoint.classes)} classes, {figures['parameters']:,} parameters; "
        f"next: deeplab segment photo.jpg --model {output}"
    )
    if json:
        print_json(figures)
