"""The losses of a run: a line of JSON every few steps, and the tracker's curves."""

import json
import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor

from styletransfer.errors import InputError

LOSSES = "losses.jsonl"


class Clock:
    """Seconds of training, those before the last resume among them."""

    def __init__(self, before: float = 0.0) -> None:
        self._started = time.monotonic() - before

    @property
    def seconds(self) -> float:
        """Until now."""
        return time.monotonic() - self._started


class LossLog:
    """Writes `losses.jsonl` in a run's folder and feeds the tracker; values are means over all processes.

    Args:
        accelerator: of the run; its trackers are started here.
        folder: the run's output folder, made where it is missing.
        recipe: the settings, for the tracker.
        first_step: where this process took the run up, for its speed.
    """

    def __init__(self, accelerator: Accelerator, folder: Path, recipe: Mapping[str, Any], first_step: int) -> None:
        self.accelerator, self.path, self.first_step = accelerator, folder / LOSSES, first_step
        self.started = time.monotonic()
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if accelerator.is_main_process:
                self._forget_after(first_step)
        except OSError as error:
            raise InputError(
                f"The output folder {folder} cannot be written ({error.strerror}): choose another."
            ) from error
        if accelerator.log_with:
            accelerator.init_trackers("styletransfer", config={"recipe": json.dumps(dict(recipe))})

    def _forget_after(self, step: int) -> None:
        """A run resumed from a checkpoint tells the steps after it once more."""
        lines = self.path.read_text(encoding="utf-8").splitlines() if self.path.exists() else []
        kept = [line for line in lines if line.endswith("}") and json.loads(line)["step"] <= step]
        self.path.write_text("".join(f"{line}\n" for line in kept), encoding="utf-8")

    def write(self, step: int, terms: Mapping[str, Tensor], learning_rate: float) -> dict[str, float | None]:
        """One line; every process must call it, the main one writes. Returns it; None stands for what is no number."""
        values = torch.stack([value.float() for value in terms.values()])
        values = self.accelerator.reduce(values, reduction="mean").tolist()
        numbers = [value if math.isfinite(value) else None for value in values]
        line = {**dict(zip(terms, numbers, strict=True)), "learning_rate": learning_rate}
        self.accelerator.log({name: value for name, value in line.items() if value is not None}, step=step)
        if self.accelerator.is_main_process:
            speed = (step - self.first_step) / (time.monotonic() - self.started)
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"step": step, **line, "steps_per_second": round(speed, 3)}) + "\n")
        return line
