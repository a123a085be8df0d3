"""What the card of a pack tells of its training: how long, on what, from which datasets."""

import os
import platform
import time
from pathlib import Path

import torch
from accelerate import Accelerator

from styletransfer.config import TrainingConfig
from styletransfer.sources import hub_dataset


class Clock:
    """Seconds of training, those before the last resume among them."""

    def __init__(self, before: float = 0.0) -> None:
        self._started = time.monotonic() - before

    @property
    def seconds(self) -> float:
        """Until now."""
        return time.monotonic() - self._started


def told_of_run(config: TrainingConfig, accelerator: Accelerator, seconds: float) -> dict[str, str | list[str]]:
    """Name -> what the card says; "datasets" are those of the Hub, `org/name`, without what is on this disk."""
    found = [hub_dataset(source) for source in (*config.photos, *config.style_sources.values())]
    return {
        "training time": f"{int(seconds) // 3600} h {int(seconds) % 3600 // 60} min",
        "hardware": _hardware(accelerator),
        "precision": config.mixed_precision,
        "datasets": list(dict.fromkeys(name for name in found if name)),
    }


def _hardware(accelerator: Accelerator) -> str:
    count = accelerator.num_processes
    if accelerator.device.type == "cuda":
        return f"{count} × {torch.cuda.get_device_name(accelerator.device)}"
    processes = f", {count} processes" if count > 1 else ""
    return f"CPU {_processor()}, {os.cpu_count()} cores{processes}".replace("CPU ,", "CPU,")


def _processor() -> str:
    """Its name, where the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:  # not Linux
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()
