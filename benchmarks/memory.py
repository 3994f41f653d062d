"""The peak memory of this process, since a moment of one's choice. Linux only."""

from __future__ import annotations

from pathlib import Path


def peak_mib(*, reset: bool = False) -> float:
    """Highest resident memory in MiB, since the start or since the last reset.

    Args:
        reset: Forget earlier peaks first, so that the answer is what is held right now.
    """
    if reset:
        Path("/proc/self/clear_refs").write_text("5")
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024
