"""Records what segmentation-models-pytorch's own networks give: see README.md. Writes smp_*.npz beside itself.

python tests/golden/smp.py      with segmentation-models-pytorch 0.6.0
"""

from __future__ import annotations

from pathlib import Path

import seeded
import torch

CASES = {
    "v3_r18_os8": ("DeepLabV3", {"encoder_name": "resnet18", "decoder_channels": 64}),
    "v3plus_r34_os8": ("DeepLabV3Plus", {"encoder_name": "resnet34", "encoder_output_stride": 8}),
    "v3plus_mobilenet": ("DeepLabV3Plus", {"encoder_name": "mobilenet_v2", "decoder_channels": 128}),
}


@torch.inference_mode()
def main():
    import segmentation_models_pytorch

    for name, (network, options) in CASES.items():
        model = getattr(segmentation_models_pytorch, network)(encoder_weights=None, classes=5, **options).eval()
        shapes = {key: list(tensor.shape) for key, tensor in model.state_dict().items()}
        weights = {key: torch.from_numpy(array) for key, array in seeded.state(shapes).items()}
        missing = model.load_state_dict(weights, strict=False).missing_keys
        assert all(key.endswith("num_batches_tracked") for key in missing)
        size = 96, 128
        logits = model(torch.from_numpy(seeded.picture(*size))).numpy()
        file = Path(__file__).with_name(f"smp_{name}.npz")
        seeded.record(file, shapes=shapes, outputs=logits, picture=size)
        print(file.name, logits.shape, logits.std(), file.stat().st_size)


if __name__ == "__main__":
    main()
