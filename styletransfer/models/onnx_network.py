"""The generator as onnxruntime runs it: what a painter asks of `Generator`, without PyTorch's arithmetic."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from styletransfer.models.generator import Generator, Sides
from styletransfer.models.onnx_graph import (
    AROUND,
    CORNER,
    MEASURED,
    PAINTING,
    PHOTO,
    STATISTICS,
    STYLE_WEIGHTS,
    missing_package,
    onnx_graph,
)

QUIET = 3  # onnxruntime warns that inputs with a default are no constants, which is what they are for


class OnnxNetwork:
    """A network in an ONNX file, on the processor, in float32.

    Args:
        model: the bytes of the file, as `onnx_graph` makes it.
        threads: that share the work; as many as PyTorch uses when None.

    Raises:
        InputError: the package onnxruntime is not installed.
    """

    def __init__(self, model: bytes, threads: int | None = None) -> None:
        try:
            import onnxruntime
        except ImportError as error:
            raise missing_package("onnxruntime") from error
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.log_severity_level = threads or torch.get_num_threads(), QUIET
        self.session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        self._has_grain = any(each.name == CORNER for each in self.session.get_overridable_initializers())

    @classmethod
    def of(cls, generator: Generator) -> "OnnxNetwork":
        """The same network as PyTorch has it; raises InputError where onnx or onnxruntime is not installed."""
        return cls(onnx_graph(generator).SerializeToString())

    def __call__(
        self, photo: Tensor, style_weights: Tensor, statistics: Tensor | None = None, corner: Tensor | None = None
    ) -> Tensor:
        """As `Generator.forward`, but with `statistics` (N, 2, C) from `measure`, and one `corner` (1, 2) for all."""
        return self._run(PAINTING, photo, style_weights, statistics, corner)

    def measure(self, photo: Tensor, style_weights: Tensor) -> Tensor:
        """The statistics (N, 2, C) of all layers, mean and inverse deviation, to be frozen for the photo's tiles."""
        return self._run(MEASURED, photo, style_weights)

    def fold(self, style_weights: Tensor, statistics: Tensor) -> "FrozenOnnxNetwork":
        """The same network for one mix of styles and frozen statistics."""
        return FrozenOnnxNetwork(self, style_weights, statistics)

    def _run(
        self,
        wanted: str,
        photo: Tensor,
        style_weights: Tensor,
        statistics: Tensor | None = None,
        corner: Tensor | None = None,
        around: int | None = None,
    ) -> Tensor:
        given = {PHOTO: photo, STYLE_WEIGHTS: style_weights, STATISTICS: statistics}
        given = {name: values.float().cpu().numpy() for name, values in given.items() if values is not None}
        if corner is not None and self._has_grain:
            given[CORNER] = corner[0].cpu().numpy().astype(np.int64)
        if around is not None and self._has_grain:
            given[AROUND] = np.array([around], np.int64)
        return torch.from_numpy(self.session.run([wanted], given)[0])


@dataclass(frozen=True)
class FrozenOnnxNetwork:
    """What `PlainGenerator` is to `Generator`."""

    network: OnnxNetwork
    style_weights: Tensor
    statistics: Tensor

    def __call__(self, photo: Tensor, corner: Tensor | None = None, around: int | None = None) -> Tensor:
        """As `PlainGenerator.forward`."""
        return self.network._run(PAINTING, photo, self.style_weights, self.statistics, corner, around)

    def inside(self, tile: Tensor, margins: Sides, corner: Tensor | None = None, around: int | None = None) -> Tensor:
        """As `PlainGenerator.inside`."""
        return margins.cut(self(tile, corner, around))
