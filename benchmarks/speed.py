"""Measure how fast a photo is painted, in alternation with the Johnson network of PyTorch's examples.

    python benchmarks/speed.py styles/starry-night --output benchmarks/speed.md

Ours is the pipeline in its default mode, from PIL picture to PIL picture. Theirs is the network alone: float32, forward
pass only, without any conversion of pictures. Times depend on the machine; compare the ratio.
"""

import argparse
import platform
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # runs from a clone that was never installed

from styletransfer.pipeline import StyleTransferPipeline


def johnson_network() -> nn.Sequential:
    """Johnson (2016) with instance normalization, layer by layer as PyTorch's fast_neural_style example has it."""
    down = [*_conv_norm(3, 32, 9, 1), *_conv_norm(32, 64, 3, 2), *_conv_norm(64, 128, 3, 2)]
    up = [_Nearest(), *_conv_norm(128, 64, 3, 1), _Nearest(), *_conv_norm(64, 32, 3, 1)]
    return nn.Sequential(*down, *(_Residual(128) for _ in range(5)), *up, _conv(32, 3, 9, 1)).eval()


def _conv(inputs: int, outputs: int, kernel: int, stride: int) -> nn.Sequential:
    return nn.Sequential(nn.ReflectionPad2d(kernel // 2), nn.Conv2d(inputs, outputs, kernel, stride))


def _conv_norm(inputs: int, outputs: int, kernel: int, stride: int) -> list[nn.Module]:
    return [_conv(inputs, outputs, kernel, stride), nn.InstanceNorm2d(outputs, affine=True), nn.ReLU()]


class _Residual(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(*_conv_norm(channels, channels, 3, 1), *_conv_norm(channels, channels, 3, 1)[:2])

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x)


class _Nearest(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return F.interpolate(x, scale_factor=2, mode="nearest")


def times_in_turn(calls: dict[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Milliseconds of each call, measured in alternation (A B A B ...) after one warm-up round."""
    taken: dict[str, list[float]] = {name: [] for name in calls}
    for turn in range(rounds + 1):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            if turn:
                taken[name].append(1000 * (time.perf_counter() - start))
    return taken


def cpu_name() -> str:
    """The processor's name, or its architecture where the system does not tell more."""
    info = Path("/proc/cpuinfo")
    names = [line for line in info.read_text().splitlines() if line.startswith("model name")] if info.exists() else []
    return names[0].split(":", 1)[1].strip() if names else platform.processor() or platform.machine()


@torch.inference_mode()
def main() -> None:
    """Measure, print the table, and write it to `--output` if given."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pack", type=Path, help="folder of the style pack to paint with")
    parser.add_argument("--size", type=int, default=512, help="side of the square picture, in pixels")
    parser.add_argument("--rounds", type=int, default=20, help="measured calls of each network")
    parser.add_argument("--threads", type=int, default=2, help="threads of torch")
    parser.add_argument("--output", type=Path, metavar="FILE", help="file to write the table to")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    pipeline = StyleTransferPipeline.from_pretrained(args.pack, device="cpu")
    johnson, style = johnson_network(), next(iter(pipeline.styles))
    tensor = torch.rand(1, 3, args.size, args.size) * 255
    photo = Image.effect_noise((args.size, args.size), 64).convert("RGB")
    taken = times_in_turn({"johnson": lambda: johnson(tensor), "ours": lambda: pipeline(photo, style)}, args.rounds)
    theirs, ours = median(taken["johnson"]), median(taken["ours"])
    lines = [
        f"{args.size}x{args.size}, {args.threads} threads, {cpu_name()}, torch {torch.__version__}, "
        f"medians of {args.rounds} taken in turn.",
        "",
        "| network | mode | median, ms | fastest, ms | times as fast |",
        "|---|---|---:|---:|---:|",
        f"| Johnson 2016, PyTorch examples | float32, forward only | {theirs:.0f} | {min(taken['johnson']):.0f} | 1 |",
        f"| styletransfer | {str(pipeline.dtype).removeprefix('torch.')}, PIL in, PIL out | {ours:.0f} "
        f"| {min(taken['ours']):.0f} | {theirs / ours:.1f} |",
    ]
    print("\n".join(lines))
    if args.output:
        args.output.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
