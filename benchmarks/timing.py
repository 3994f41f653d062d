"""Clocks, contestants that take turns, and child processes that run on one thread."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

Clock = Callable[[], float]

ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "HF_HUB_OFFLINE": "1",
}


def stay_offline() -> None:
    """Keep Hugging Face libraries, which must not be imported yet, off the network."""
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")


def choose_clock(threads: int) -> Clock:
    """Return the CPU time of the process for one thread, so that its neighbors weigh less."""
    return time.process_time if threads == 1 else time.perf_counter


def measure_seconds(action: Callable[[], object], clock: Clock) -> float:
    """Return the seconds that an action takes."""
    start = clock()
    action()
    return clock() - start


def fastest(
    contestants: Mapping[str, Callable[[], object]], repeats: int, clock: Clock
) -> dict[str, float]:
    """Let contestants take turns, so that a busy machine slows all of them alike.

    Returns:
        Fewest seconds of each contestant.
    """
    best = dict.fromkeys(contestants, float("inf"))
    for _ in range(repeats):
        for name, action in contestants.items():
            best[name] = min(best[name], measure_seconds(action, clock))
    return best


def run_script(script: str | Path, *arguments: object) -> str:
    """Run a script on one thread in a process of its own, and return its last line of output."""
    command = [sys.executable, str(script), *map(str, arguments)]
    done = subprocess.run(command, env={**os.environ, **ONE_THREAD}, capture_output=True, text=True)
    if done.returncode:
        failed = f"{' '.join(command)} failed with exit status {done.returncode}"
        raise SystemExit(f"{done.stderr}\n{failed}")
    return done.stdout.splitlines()[-1]


def cpu_name() -> str:
    """Return the name of the processor as Linux has it."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else "unknown CPU"
