"""How much memory is left."""

from __future__ import annotations

from pathlib import Path


def free_memory(device: str = "cpu") -> int | None:
    """Bytes that programs may still take there, where the system says so: Linux, and GPUs of CUDA."""
    if device.startswith("cuda"):
        import torch

        free: int = torch.cuda.mem_get_info(device)[0]
        return free
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable:")), None)
