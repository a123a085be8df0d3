"""Say where the time of a large painting goes, stage by stage, from file to file.

    python benchmarks/stages.py styles/starry-night --megapixels 12 48 --output benchmarks/profile.md

Each stage is the time inside the functions that do it, without what other stages do inside them. CPU seconds are those
of the whole process: on a busy machine they say more than the wall clock. The machine's own rate of multiplying
matrices stands beside it, and the parts of the network alone.
"""

import argparse
import functools
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import torch
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # runs from a clone that was never installed

from speed import cpu_name

from styletransfer import painter as painting
from styletransfer import results
from styletransfer.images import files
from styletransfer.models import canvas
from styletransfer.models import generator as network
from styletransfer.models.memory import keep_freed_memory
from styletransfer.pipeline import StyleTransferPipeline
from styletransfer.settings import PaintSettings

ROOT = Path(__file__).resolve().parents[1]

# Stage -> the functions that do it, each by its owner and its name.
STAGES = {
    "decode, upright, sRGB": [(files, "load_picture")],
    "reduce the photo": [(canvas.Loaded, "reduced")],
    "enlarge the small painting, blend": [(canvas.Repainted, "crop"), (canvas.Repainted, "reduced")],
    "statistics (thumbnail through the network)": [(network.Generator, "measure")],
    "small painting (network)": [(network.Generator, "forward")],
    "cut tiles": [(canvas.Loaded, "crop")],
    "8 bit to float": [(painting, "picture_to_tensor")],
    "tiles through the network": [(network.PlainGenerator, "inside")],
    "float to 8 bit": [(painting, "tensor_to_picture")],
    "put tiles together": [(Image.Image, "paste")],
    "strength, colors, mask": [(painting, "finish")],
    "encode": [(files, "_encode")],
    "write to disk": [(files, "write_whole")],
    "metadata": [(results, "save_result")],
}


class Clock:
    """CPU and wall seconds of each stage, those of stages inside it taken away."""

    def __init__(self) -> None:
        self.cpu: Counter[str] = Counter()
        self.wall: Counter[str] = Counter()
        self._inside: list[list[float]] = []  # of each stage that runs: what stages within it took

    def timed(self, stage: str, function: Callable) -> Callable:
        """The function, its time counted for the stage."""

        @functools.wraps(function)
        def run(*args: Any, **kwargs: Any) -> Any:
            self._inside.append([0.0, 0.0])
            start = time.process_time(), time.perf_counter()
            try:
                return function(*args, **kwargs)
            finally:
                cpu, wall = time.process_time() - start[0], time.perf_counter() - start[1]
                inside = self._inside.pop()
                self.cpu[stage] += cpu - inside[0]
                self.wall[stage] += wall - inside[1]
                if self._inside:
                    self._inside[-1][0] += cpu
                    self._inside[-1][1] += wall

        return run

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Count while this lasts."""
        usual = [(owner, name, getattr(owner, name)) for places in STAGES.values() for owner, name in places]
        for stage, places in STAGES.items():
            for owner, name in places:
                setattr(owner, name, self.timed(stage, getattr(owner, name)))
        try:
            yield
        finally:
            for owner, name, function in usual:
                setattr(owner, name, function)


def photo_of(megapixels: float, folder: Path) -> Path:
    """A JPEG of 4:3 with so many megapixels: an example photo enlarged, with noise as a sensor makes it."""
    width = 4 * round((megapixels * 1e6 / 12) ** 0.5)
    size = (width, width * 3 // 4)
    with Image.open(ROOT / "examples" / "coffee.jpg") as example:
        large = example.convert("RGB").resize(size, Image.Resampling.LANCZOS)
    noise = Image.effect_noise(size, 24).convert("RGB")
    file = folder / f"photo-{megapixels:g}.jpg"
    Image.blend(large, noise, 0.1).save(file, quality=92)
    return file


def profiled(pipeline: StyleTransferPipeline, photo: Path, target: Path) -> tuple[Clock, float, float]:
    """The stages of one painting, and its CPU and wall seconds."""
    settings, clock = PaintSettings(next(iter(pipeline.styles))), Clock()
    start = time.process_time(), time.perf_counter()
    with clock.at_work():
        results.save_result(pipeline(files.load_picture(photo), settings), target, settings, photo=photo.name)
    return clock, time.process_time() - start[0], time.perf_counter() - start[1]


def stage_table(pipeline: StyleTransferPipeline, megapixels: list[float], folder: Path) -> list[str]:
    """Markdown: CPU seconds of each stage, one column a photo and format."""
    columns = {}
    for size in megapixels:
        photo = photo_of(size, folder)
        for suffix in (".jpg", ".png"):
            columns[f"{size:g} MP to {suffix[1:].upper()}"] = profiled(pipeline, photo, folder / f"painting{suffix}")
    rows = [["CPU seconds", *columns], ["---", *("---:" for _ in columns)]]
    for stage in STAGES:
        rows.append([stage, *(f"{clock.cpu[stage]:.2f}" for clock, *_ in columns.values())])
    known = [sum(clock.cpu.values()) for clock, *_ in columns.values()]
    rows.append(["all else", *(f"{run[1] - sum_:.2f}" for run, sum_ in zip(columns.values(), known, strict=True))])
    rows.append(["**whole, CPU**", *(f"**{cpu:.1f}**" for _, cpu, _ in columns.values())])
    rows.append(["**whole, wall clock**", *(f"**{wall:.1f}**" for *_, wall in columns.values())])
    return [f"| {' | '.join(row)} |" for row in rows]


def cpu_ms(call: Callable[[], object], rounds: int = 5) -> float:
    """Median CPU milliseconds of a call, after one to warm up."""
    call()
    taken = []
    for _ in range(rounds):
        start = time.process_time()
        call()
        taken.append(1000 * (time.process_time() - start))
    return median(taken)


def matmul_rate(dtype: torch.dtype, side: int = 1024) -> float:
    """GFLOP per CPU second of multiplying two square matrices."""
    one, other = (torch.randn(side, side).to(dtype) for _ in range(2))
    return 2 * side**3 / cpu_ms(lambda: one @ other) / 1e6


def parts_of(pipeline: StyleTransferPipeline, size: tuple[int, int]) -> dict[str, float]:
    """CPU milliseconds of a picture (width, height) in the folded network, and in its parts."""
    painter, mix = pipeline, {next(iter(pipeline.styles)): 1.0}
    weights = painter.generator.style_weights(mix)
    photo = torch.rand(1, 3, size[1], size[0]) * 2 - 1
    plain = painter.generator.fold(weights, painter.generator.measure(photo, weights))
    brief = photo.to(plain.stem.weight.dtype)
    cells, one, whole_picture = network._cells(brief), network.Sides(1, 1, 1, 1), network.Sides(0, 0, 0, 0)
    x = torch.relu(plain.stem(cells))
    blocks = cpu_ms(lambda: plain.blocks(x, one.around, whole_picture.cut))
    encoder = cpu_ms(lambda: torch.relu_(plain.stem(network._cells(brief))))
    whole = cpu_ms(lambda: plain(photo))
    return {"whole": whole, "encoder": encoder, "residual blocks": blocks, "decoder": whole - encoder - blocks}


def network_table(pipeline: StyleTransferPipeline) -> list[str]:
    """Markdown: the parts of the network at two sizes."""
    lines = ["| picture | whole, CPU ms | encoder | residual blocks | decoder |", "|---|---:|---:|---:|---:|"]
    for size in ((512, 512), (1920, 1080)):
        parts = parts_of(pipeline, size)
        lines.append(f"| {size[0]}x{size[1]} | {' | '.join(f'{ms:.0f}' for ms in parts.values())} |")
    return lines


@torch.inference_mode()
def main() -> None:
    """Measure, print the tables, and write them to `--output` if given."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pack", type=Path, help="folder of the style pack to paint with")
    parser.add_argument("--megapixels", type=float, nargs="+", default=[12, 48], help="sizes of the photos")
    parser.add_argument(
        "--threads", type=int, default=1, help="threads of torch; stages that run side by side cannot be told apart"
    )
    parser.add_argument("--output", type=Path, metavar="FILE", help="file to write the tables to")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    keep_freed_memory()  # as the command and the page do
    pipeline = StyleTransferPipeline.from_pretrained(args.pack, device="cpu")
    rates = {dtype: matmul_rate(dtype) for dtype in (torch.bfloat16, torch.float32)}
    named = ", ".join(f"{str(dtype).removeprefix('torch.')} {rate:.1f}" for dtype, rate in rates.items())
    lines = [
        f"{cpu_name()}, {args.threads} threads, torch {torch.__version__}, convolutions in "
        f"{str(pipeline.dtype).removeprefix('torch.')}. Matrices of 1024: {named} GFLOP per CPU second.",
        "",
        *network_table(pipeline),
        "",
    ]
    with tempfile.TemporaryDirectory() as folder:
        lines += stage_table(pipeline, args.megapixels, Path(folder))
    print("\n".join(lines))
    if args.output:
        args.output.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
