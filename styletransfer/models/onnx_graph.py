"""The generator as an ONNX graph, for programs that have no PyTorch.

The same network as `generator.py`, layer by layer: whoever changes one changes the other, and the tests of parity hold
them together. It is written out rather than traced, see docs/decisions.md. No dimension of a photo is fixed.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from styletransfer.errors import InputError
from styletransfer.models.convolutions import DoublingConv
from styletransfer.models.generator import (
    EPSILON,
    GRAIN_SIDE,
    LATE_RIM,
    RIM,
    STRIDE,
    Generator,
    StyledConv,
    alternation_kernel,
    grain_cells,
)

if TYPE_CHECKING:
    import onnx

OPSET = 18  # of 2022: every runtime in use knows it
IR_VERSION = 8  # goes with it
PHOTO, STYLE_WEIGHTS, PAINTING = "photo", "style_weights", "painting"
STATISTICS, MEASURED = "statistics", "measured_statistics"
CORNER, AROUND = "corner", "around"
NOT_AROUND = 1 << 40  # pixels: wider than any picture, and a multiple of the grain's side


def onnx_graph(generator: Generator, *, half: bool = False, defaults: bool = True) -> "onnx.ModelProto":
    """The network as an ONNX model.

    Inputs: `photo` (N, 3, H, W) float32 in [-1, 1], H and W at least 16; `style_weights` (N, S) float32, rows sum to 1.
    Three more have defaults. `statistics` (N, 2, C), mean and inverse deviation of every normalized channel, as
    another run returned them: they are used in place of the photo's own, so that tiles and frames are painted alike.
    Where an inverse deviation is 0, the photo's own are used. `corner` (2) int64, top and left of the photo in the
    picture that it was cut from, for its grain. `around` (1) int64, the width of that picture where its left edge
    continues the right one.

    Outputs: `painting` (N, 3, H, W) float32 in [-1, 1]; `measured_statistics` (N, 2, C), which it was painted with.

    Args:
        generator: on any device, in any dtype.
        half: store weights as float16, in half the space. They are calculated with as float32.
        defaults: the last three inputs may be left out. onnxruntime-web knows no such inputs: for it they are to be
            given always, statistics of 0, corners of 0, and NOT_AROUND.

    Raises:
        InputError: the package onnx is not installed.
    """
    return _Graph(generator, half).model(defaults)


class _Graph:
    """Nodes and constants, added one by one; every method returns the name of the value that it adds."""

    def __init__(self, generator: Generator, half: bool) -> None:
        self.helper, self.numpy_helper, self.types = _onnx()
        self.generator, self.half = generator, half
        self.nodes: list[Any] = []
        self.constants: dict[str, Any] = {}
        self.measured: list[tuple[str, str]] = []  # mean and rstd, each (N, C, 1, 1), of the layers so far
        self.first = 0  # of the channels of the next layer, among those of the statistics

    def model(self, defaults: bool) -> "onnx.ModelProto":
        """The whole graph, with default values of inputs or without."""
        helper, floats, whole = self.helper, self.types.FLOAT, self.types.INT64
        channels = sum(len(layer.conv.bias) for layer in self._styled())
        self._wire()
        value = helper.make_tensor_value_info
        photo = ["photos", 3, "height", "width"]
        inputs = [
            value(PHOTO, floats, photo),
            value(STYLE_WEIGHTS, floats, ["photos", len(self.generator.styles)]),
            value(STATISTICS, floats, ["statistics_photos", 2, channels]),
        ]
        known = {STATISTICS: np.zeros((1, 2, channels), np.float32)}
        if self.generator.config.grain:
            inputs += [value(CORNER, whole, [2]), value(AROUND, whole, [1])]
            known |= {CORNER: np.zeros(2, np.int64), AROUND: np.array([NOT_AROUND], np.int64)}
        if defaults:  # a constant of an input's name is what the input is where it is left out
            self.constants |= {name: self.numpy_helper.from_array(values, name) for name, values in known.items()}
        outputs = [value(PAINTING, floats, photo), value(MEASURED, floats, ["photos", 2, channels])]
        graph = helper.make_graph(self.nodes, "generator", inputs, outputs, list(self.constants.values()))
        opsets = [helper.make_opsetid("", OPSET)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION, producer_name="styletransfer")

    # -------------------------------------------------------------- the network, as in generator.py

    def _wire(self) -> None:
        stem, *body, up_half, narrow, up_full = self._styled()
        self._open_statistics()
        x = self._relu(self._styled_conv(self._cells(self._with_grain(PHOTO)), stem, _of_cells(stem.conv.weight)))
        for first, second in zip(body[::2], body[1::2], strict=True):
            x = self.op("Add", x, self._styled_conv(self._relu(self._styled_conv(x, first)), second))
        cut = (RIM - LATE_RIM) // STRIDE
        x = self._without_alternation(self._slice(x, [cut, cut], [-cut, -cut]))
        x = self._relu(self._styled_conv(x, up_half))
        x = self._relu(self._styled_conv(x, narrow))
        x = self._relu(self._styled_conv(x, up_full))
        x = self._conv(x, self.generator.to_rgb.weight, self.generator.to_rgb.bias, pads=[1, 1, 1, 1])
        ends = self.op("Add", self._sides(), self.ints([LATE_RIM, LATE_RIM]))
        cropped = self.op("Slice", x, self.ints([LATE_RIM, LATE_RIM]), ends, self.ints([2, 3]))
        self.op("Tanh", cropped, name=PAINTING)
        self._close_statistics()

    def _styled(self) -> Sequence[StyledConv]:
        return [layer for layer in self.generator.modules() if isinstance(layer, StyledConv)]

    def _styled_conv(self, x: str, layer: StyledConv, weight: Tensor | None = None) -> str:
        """Convolution and conditional instance normalization, by the given statistics or by those of its result."""
        weight, pads = layer.conv.weight if weight is None else weight, [1, 1, 1, 1]
        if isinstance(layer.conv, DoublingConv):
            x = self._doubling_conv(x, layer.conv)
        else:
            if layer.conv.padding_mode == "reflect":
                x, pads = self._padded(x, 1, "reflect"), [0, 0, 0, 0]
            x = self._conv(x, weight, layer.conv.bias, pads)
        mean, rstd = self._moments(x, len(weight))
        gain = self.op("Mul", self._mixed(layer.scale), rstd)
        shift = self.op("Sub", self._mixed(layer.shift), self.op("Mul", mean, gain))
        return self.op("Add", self.op("Mul", x, gain), shift)

    def _moments(self, x: str, channels: int) -> tuple[str, str]:
        places = self.ints([2, 3])
        mean = self.op("ReduceMean", x, places, keepdims=1)
        apart = self.op("Sub", x, mean)
        variance = self.op("ReduceMean", self.op("Mul", apart, apart), places, keepdims=1)
        deviation = self.op("Sqrt", self.op("Add", variance, self.floats(EPSILON)))
        own = (mean, self.op("Reciprocal", deviation))
        start, end = self.ints([self.first]), self.ints([self.first + channels])
        given = [self.op("Slice", values, start, end, self.ints([1])) for values in (*self.given, self.is_measured)]
        used = [
            self.op("Add", known, self.op("Mul", found, given[2])) for known, found in zip(given, own, strict=False)
        ]
        self.first += channels
        self.measured.append((used[0], used[1]))
        return used[0], used[1]

    def _open_statistics(self) -> None:
        """Given mean and rstd, each (N or 1, C, 1, 1); and 1 where they are to be measured, and the mean becomes 0."""
        shape = self.ints([0, -1, 1, 1])
        parts = [self._slice(STATISTICS, [i], [i + 1], axes=[1]) for i in (0, 1)]
        mean, rstd = (self.op("Reshape", part, shape) for part in parts)
        is_given = self.op("Sign", rstd)
        self.is_measured = self.op("Sub", self.floats(1.0), is_given)
        self.given = self.op("Mul", mean, is_given), rstd

    def _close_statistics(self) -> None:
        rows = [self.op("Concat", *values, axis=1) for values in zip(*self.measured, strict=True)]
        rows = [self.op("Reshape", row, self.ints([0, 1, -1])) for row in rows]
        self.op("Concat", *rows, axis=1, name=MEASURED)

    def _mixed(self, table: Tensor) -> str:
        """(N, C, 1, 1): the rows of the styles (S, C), by their weights."""
        return self.op("Unsqueeze", self.op("MatMul", STYLE_WEIGHTS, self.weights(table)), self.ints([2, 3]))

    def _with_grain(self, photo: str) -> str:
        """See `generator.with_grain`. The field is made of its coarse cells, once, when the graph is loaded."""
        amount = self.generator.config.grain
        if not amount:
            return photo
        layers = []
        for size, cells in grain_cells():
            fine = self.constant((amount * cells).numpy())  # float32 always: in float16 it would be another grain
            edge = 7 * size // 2  # the two cells of overlap, and what the outermost cells reach beyond
            for down, across in ((1, 0), (0, 1)):
                kernel = _cubic_kernel(size).reshape([1, 1, -1, 1] if down else [1, 1, 1, -1])
                strides = [size if down else 1, size if across else 1]
                pads = [edge * down, edge * across] * 2
                fine = self.op("ConvTranspose", fine, self.constant(kernel), strides=strides, pads=pads)
            layers.append(fine)
        field = self.op("Reshape", self.op("Sum", *layers), self.ints([GRAIN_SIDE, GRAIN_SIDE]))
        for axis in (0, 1):
            start = self._slice(CORNER, [axis], [axis + 1], axes=[0])
            side = self._slice(self._sides(), [axis], [axis + 1], axes=[0])
            run = self.op("Range", self.whole(0), self.op("Squeeze", side), self.whole(1))
            places = self.op("Add", run, start)
            places = self.op("Mod", places, AROUND) if axis else places
            field = self.op("Gather", field, self.op("Mod", places, self.whole(GRAIN_SIDE)), axis=axis)
        return self.op("Add", photo, field)

    def _cells(self, photo: str) -> str:
        """(N, 3, H, W) -> (N, 48, h, w), the channels in the order of `_of_cells`."""
        sides, stride = self._sides(), self.ints([STRIDE, STRIDE])
        missing = self.op("Mod", self.op("Sub", stride, self.op("Mod", sides, stride)), stride)
        start = self.ints([0, 0, RIM, RIM])  # images and channels are not padded
        end = self.op("Concat", self.ints([0, 0]), self.op("Add", missing, self.ints([RIM, RIM])), axis=0)
        padded = self.op("Pad", photo, self.op("Concat", start, end, axis=0), mode="reflect")
        return self.op("SpaceToDepth", padded, blocksize=STRIDE)

    def _without_alternation(self, x: str) -> str:
        channels = self.generator.config.channels
        kernel = alternation_kernel().expand(channels, 1, 5, 5)
        return self.op("Conv", self._padded(x, 2, "reflect"), self.weights(kernel), group=channels)

    def _doubling_conv(self, x: str, conv: DoublingConv) -> str:
        fourfold = self._conv(self._padded(x, 1, "edge"), conv.fourfold(), conv.bias.repeat_interleave(4), [0, 0, 0, 0])
        return self.op("DepthToSpace", fourfold, blocksize=2, mode="CRD")

    # -------------------------------------------------------------- steps

    def _conv(self, x: str, weight: Tensor, bias: Tensor, pads: Sequence[int]) -> str:
        return self.op("Conv", x, self.weights(weight), self.weights(bias), pads=list(pads))

    def _relu(self, x: str) -> str:
        return self.op("Relu", x)

    def _padded(self, x: str, rim: int, mode: str) -> str:
        """With a rim all around. (All axes are named: onnxruntime fails to convert a Pad with `axes` for WebGPU.)"""
        return self.op("Pad", x, self.ints([0, 0, rim, rim] * 2), mode=mode)

    def _slice(self, x: str, starts: Sequence[int], ends: Sequence[int], axes: Sequence[int] = (2, 3)) -> str:
        return self.op("Slice", x, self.ints(starts), self.ints(ends), self.ints(axes))

    def _sides(self) -> str:
        """(2): height and width of the photo."""
        return self.op("Shape", PHOTO, start=2)

    def op(self, operator: str, *inputs: str, name: str = "", **attributes: Any) -> str:
        """Add a node."""
        name = name or f"{operator}_{len(self.nodes)}"
        self.nodes.append(self.helper.make_node(operator, list(inputs), [name], name=name, **attributes))
        return name

    def weights(self, values: Tensor) -> str:
        """Add weights, in the precision that the file stores."""
        array = values.detach().float().cpu().contiguous().numpy()
        if not self.half:
            return self.constant(array)
        return self.op("Cast", self.constant(array.astype(np.float16)), to=self.types.FLOAT)

    def constant(self, array: np.ndarray) -> str:
        """Add an array as it is; equal small ones are one."""
        key = f"{array.dtype.name}_{'x'.join(map(str, array.shape))}_"
        key += "_".join(map(str, array.flatten())) if array.size <= 4 else f"{len(self.constants)}"
        if key not in self.constants:
            self.constants[key] = self.numpy_helper.from_array(np.ascontiguousarray(array), key)
        return key

    def ints(self, values: Sequence[int]) -> str:
        """Add a list of whole numbers."""
        return self.constant(np.array(values, np.int64))

    def whole(self, value: int) -> str:
        """Add a whole number."""
        return self.constant(np.array(value, np.int64))

    def floats(self, value: float) -> str:
        """Add a number."""
        return self.constant(np.array(value, np.float32))


def _of_cells(weight: Tensor) -> Tensor:
    """The stem's weight (C, 48, 3, 3) in the order of SpaceToDepth, which lays out a cell pixel by pixel."""
    count = len(weight)
    return weight.reshape(count, 3, STRIDE**2, 3, 3).transpose(1, 2).reshape(count, -1, 3, 3)


def _cubic_kernel(size: int) -> np.ndarray:
    """(4 size): what one cell adds to the pixels beside it when a field is enlarged (Keys 1981, with a = -3/4).

    A transposed convolution with it is PyTorch's bicubic interpolation.
    """
    x = np.abs((np.arange(4 * size) + 0.5) / size - 2)
    near, far = 1.25 * x**3 - 2.25 * x**2 + 1, -0.75 * (x**3 - 5 * x**2 + 8 * x - 4)
    return np.where(x < 1, near, far).astype(np.float32)


def _onnx() -> tuple[Any, Any, Any]:
    try:
        from onnx import TensorProto, helper, numpy_helper
    except ImportError as error:
        raise missing_package("onnx") from error
    return helper, numpy_helper, TensorProto


def missing_package(name: str) -> InputError:
    """What ONNX needs is not installed."""
    return InputError("The package {name} is missing: pip install onnx onnxruntime.", name=name)
