"""The peak memory of this process. Linux only."""

from __future__ import annotations

from pathlib import Path


def peak_mib(*, reset: bool = False) -> float:
    """Return the highest resident memory in MiB since the start or the last reset.

    Args:
        reset: Whether to forget earlier peaks first, so that the result is the current memory.
    """
    if reset:
        Path("/proc/self/clear_refs").write_text("5")
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024
