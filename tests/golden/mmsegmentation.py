"""Records what mmsegmentation's own networks give: see README.md. Writes mmsegmentation_*.npz beside itself.

python tests/golden/mmsegmentation.py      with mmsegmentation 1.2.2, mmengine 0.10.7 and mmcv-lite 2.2.0
"""

from __future__ import annotations

import importlib
import importlib.machinery
import sys
import types
from pathlib import Path

import seeded
import torch

CASES = {
    "v3plus_r18_d8": ("deeplabv3plus/deeplabv3plus_r18-d8_4xb2-80k_cityscapes-512x1024", {}),
    "v3_r18b_d8": ("deeplabv3/deeplabv3_r18b-d8_4xb2-80k_cityscapes-769x769", {"decode_head.channels": 64}),
    "v3_r50_d8": ("deeplabv3/deeplabv3_r50-d8_4xb4-20k_voc12aug-512x512", {"decode_head.channels": 48}),
    "v3plus_r50_d16_mg124": (
        "deeplabv3plus/deeplabv3plus_r101-d16-mg124_4xb2-80k_cityscapes-512x1024",
        {"backbone.depth": 50, "decode_head.channels": 64, "decode_head.align_corners": True},
    ),
    "v3plus_mobilenetv2_d8": (
        "mobilenet_v2/mobilenet-v2-d8_deeplabv3plus_4xb2-80k_cityscapes-512x1024",
        {"decode_head.channels": 96},
    ),
}
"""Published configurations, some with a smaller network or another convention."""


def without_operators():
    """Lets mmsegmentation be imported beside mmcv-lite, which has no compiled operators; DeepLab needs none."""

    class Operators(types.ModuleType):
        def __getattr__(self, name):
            if name.startswith("__"):
                raise AttributeError(name)
            return type(name, (), {})

    for name in ("mmcv.ops", "mmcv.ops.point_sample"):
        sys.modules[name] = Operators(name)
        sys.modules[name].__spec__ = importlib.machinery.ModuleSpec(name, None)
        sys.modules[name].__path__ = []
    importlib.import_module("mmcv").__version__ = "2.1.0"  # the newest that mmsegmentation 1.2.2 lets pass


@torch.inference_mode()
def main():
    without_operators()
    import mmseg
    from mmengine import Config
    from mmengine.model import revert_sync_batchnorm
    from mmengine.registry import init_default_scope
    from mmseg.registry import MODELS

    init_default_scope("mmseg")
    for name, (path, changes) in CASES.items():
        config = Config.fromfile(Path(mmseg.__file__).parent / ".mim/configs" / f"{path}.py")
        config.model.pretrained = None
        config.merge_from_dict({f"model.{key}": value for key, value in changes.items()})
        model = revert_sync_batchnorm(MODELS.build(config.model)).eval()
        wanted = model.state_dict()
        shapes = {key: list(tensor.shape) for key, tensor in wanted.items()}
        weights = {key: torch.from_numpy(array) for key, array in seeded.state(shapes).items()}
        missing = model.load_state_dict(weights, strict=False).missing_keys
        assert all(key.endswith("num_batches_tracked") for key in missing)
        size = 97, 129
        image = torch.from_numpy(seeded.picture(*size))
        logits = model.encode_decode(image, [{"img_shape": size}]).numpy()
        file = Path(__file__).with_name(f"mmsegmentation_{name}.npz")
        seeded.record(file, shapes=shapes, outputs=logits, picture=size, config=config.pretty_text)
        print(file.name, logits.shape, logits.std(), file.stat().st_size)


if __name__ == "__main__":
    main()
