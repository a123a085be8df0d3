"""The best averaged weights so far, kept beside the last: a training does not always end where it is best."""

import json
import math
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

FILE = "best.safetensors"


class BestAverage:
    """Averaged weights with the least score, and the scores of all steps that were measured.

    Args:
        measure: what scores are measured by; a checkpoint with scores by anything else is not compared with.
    """

    def __init__(self, measure: str = "") -> None:
        self.measure = measure
        self.scores: dict[int, float] = {}
        self.parameters: list[Tensor] = []

    @property
    def step(self) -> int:
        """The step of the best; 0 where nothing was measured."""
        return min(self.scores, key=lambda step: (self.scores[step], -step), default=0)

    def offer(self, step: int, score: float, parameters: Sequence[Tensor]) -> None:
        """Measured weights; they are kept, on the CPU, where no earlier ones are better."""
        if math.isfinite(score):
            self.scores[step] = score
            if self.step == step:
                self.parameters = [parameter.detach().cpu().clone() for parameter in parameters]

    def save(self, folder: Path) -> None:
        """Write all of it into a checkpoint."""
        if self.parameters:
            tensors = {str(number): tensor.contiguous() for number, tensor in enumerate(self.parameters)}
            save_file(tensors, folder / FILE, metadata={"scores": json.dumps(self.scores), "measure": self.measure})

    def load(self, folder: Path) -> None:
        """Take up what `save` wrote; a checkpoint without it, or measured otherwise, leaves nothing measured."""
        self.scores, self.parameters = {}, []
        if not (folder / FILE).is_file():
            return
        with safe_open(folder / FILE, framework="pt") as file:
            found = file.metadata()
            if found["measure"] == self.measure:
                self.parameters = [file.get_tensor(str(number)) for number in range(len(file.keys()))]
                self.scores = {int(step): score for step, score in json.loads(found["scores"]).items()}

    def copy_to(self, network: torch.nn.Module) -> None:
        """Give a network the best weights."""
        for parameter, kept in zip(network.parameters(), self.parameters, strict=True):
            parameter.data.copy_(kept)
