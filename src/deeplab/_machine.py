"""What this machine has, as far as can be told without torch."""

from __future__ import annotations

import ctypes
import os
import sys
from contextlib import suppress
from pathlib import Path

CONTAINER = Path("/sys/fs/cgroup")
"""Where Linux tells what a container may take."""


def cores() -> int:
    """The processor cores that this process may use: fewer than there are where it is pinned to some."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def free_memory(device: str = "cpu") -> int | None:
    """Bytes that programs may still take there, where the system says so: Linux, and GPUs that PyTorch can use."""
    if device.startswith("cuda"):
        try:
            import torch
        except ModuleNotFoundError:  # another engine is for it
            return None
        if not torch.cuda.is_available():  # as above
            return None
        kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)  # for what comes next
        free: int = torch.cuda.mem_get_info(device)[0] + kept
        return free
    known = [bytes for bytes in (_free_in_container(), _free_in_all()) if bytes is not None]
    return min(known, default=None)


def total_memory() -> int | None:
    """Bytes of this machine, or of the container that this is; None where the system does not say."""
    names = getattr(os, "sysconf_names", {})
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") if "SC_PHYS_PAGES" in names else None
    return min((bytes for bytes in (pages, _limit_of_container()) if bytes is not None), default=None)


def _limit_of_container(group: Path = CONTAINER) -> int | None:
    try:
        return int((group / "memory.max").read_text())
    except (OSError, ValueError):  # no container, or "max"
        return None


def _free_in_all() -> int | None:
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable:")), None)


def _free_in_container(group: Path = CONTAINER) -> int | None:
    """What the limit of a container leaves, with the copies of files that the system may drop."""
    limit = _limit_of_container(group)
    if limit is None:
        return None
    try:
        used = int((group / "memory.current").read_text())
        lines = (group / "memory.stat").read_text().splitlines()
    except (OSError, ValueError):  # it tells its limit alone
        return None
    return limit - used + sum(int(line.split()[1]) for line in lines if line.startswith("inactive_file "))


def give_back_memory() -> None:
    """Hand freed memory back to the system, where the C library keeps it for later (glibc)."""
    with suppress(AttributeError, OSError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)


def may_have_gpu() -> bool:
    """Whether torch might find a GPU: there is the driver of one, or the system often has one."""
    return sys.platform in ("darwin", "win32") or Path("/dev/nvidiactl").exists()
