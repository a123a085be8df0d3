"""Measure how fast a photo is painted and how much memory it takes, in turn with networks of other projects.

    python benchmarks/speed.py styles/starry-night --output benchmarks

Writes speed.md, speed.json and two plots. *Pipeline* is ours from PIL picture to PIL picture; every network is its
forward pass alone, without any conversion of pictures. Times depend on the machine; compare the ratios, each taken in
one run, in turn.
"""

import argparse
import json
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from statistics import median

import torch
import torch.nn.functional as F
from PIL import Image
from torch import nn

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # runs from a clone that was never installed

from benchmarks.peers import AdaIN, cyclegan_network, johnson_network
from styletransfer.models.eight_bits import EightBitConv, Levels, multiplies_eight_bits
from styletransfer.models.generator import Generator
from styletransfer.models.memory import keep_freed_memory
from styletransfer.packs.folder import load_pack
from styletransfer.painter import Painter

PEERS: dict[str, Callable[[], nn.Module]] = {
    "Johnson 2016": johnson_network,
    "AdaIN, Huang 2017": lambda: AdaIN().eval(),
    "CycleGAN, Zhu 2017": cyclegan_network,
}
OURS = "styletransfer"
SIZES = (256, 512, 768, 1024, 1536)
PAUSE = 0.1  # seconds before each call: onnxruntime's threads go on spinning for a while after they are done
SLOWEST = 1024  # pixels; of the peers larger pictures are not measured, which takes minutes
COLORS = {OURS: "#c2410c", "Johnson 2016": "#1d4ed8", "AdaIN, Huang 2017": "#15803d", "CycleGAN, Zhu 2017": "#6b7280"}

Times = dict[str, list[float]]


def times_in_turn(calls: Mapping[str, Callable[[], object]], rounds: int) -> Times:
    """Milliseconds of each call, measured in alternation (A B A B ...) after one warm-up round."""
    taken: Times = {name: [] for name in calls}
    for turn in range(rounds + 1):
        for name, call in calls.items():
            time.sleep(PAUSE)
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


def photo_of(size: int) -> Image.Image:
    """A square picture, "RGB"."""
    return Image.effect_noise((size, size), 64).convert("RGB")


def call_of(name: str, pack: Path, size: int) -> Callable[[], object]:
    """One painting of a square of that side by our pipeline or by a peer's network."""
    if name == OURS:
        painter, photo = Painter(load_pack(pack), device="cpu"), photo_of(size)
        style = next(iter(painter.styles))
        return lambda: painter(photo, style)
    network, tensor = PEERS[name](), torch.rand(1, 3, size, size)
    return lambda: network(tensor)


# ---- the table at 512 pixels -----------------------------------------------------------------------------------------


def table_calls(pack: Path, size: int) -> dict[str, Callable[[], object]]:
    """Everything that is compared at one size, by the name of its row."""
    painter = Painter(load_pack(pack), device="cpu")
    generator = painter.generator
    weights = generator.style_weights({next(iter(generator.styles)): 1.0})
    tensor = torch.rand(1, 3, size, size)
    kind = str(painter.dtype).removeprefix("torch.")
    calls = {f"{OURS}, pipeline ({kind})": call_of(OURS, pack, size)}
    calls[f"{OURS}, network alone ({kind})"] = lambda: generator(tensor, weights)
    calls |= {f"{name}, float32": call_of(name, pack, size) for name in PEERS}
    return calls | johnson_modes(tensor) | onnx_call(pack, size)


def johnson_modes(tensor: torch.Tensor) -> dict[str, Callable[[], object]]:
    """The Johnson network as fast as it gets: channels last, bfloat16, compiled."""
    last = torch.channels_last
    channels_last, low = johnson_network().to(memory_format=last), johnson_network().to(torch.bfloat16)
    moved, lowered = tensor.to(memory_format=last), tensor.to(torch.bfloat16, memory_format=last)
    low = low.to(memory_format=last)
    calls = {
        "Johnson 2016, channels last": lambda: channels_last(moved),
        "Johnson 2016, bfloat16, channels last": lambda: low(lowered),
    }
    compiled = torch.compile(johnson_network())
    try:
        compiled(tensor)
    except Exception as error:  # without a C++ compiler there is none: the table says so
        print(f"Johnson 2016, compiled: not measured ({type(error).__name__}).", file=sys.stderr)
        return calls
    return calls | {"Johnson 2016, compiled": lambda: compiled(tensor)}


def onnx_call(pack: Path, size: int) -> dict[str, Callable[[], object]]:
    """Our pipeline in onnxruntime, where it is installed."""
    try:
        painter, photo = Painter(load_pack(pack), backend="onnx"), photo_of(size)
    except ImportError as error:
        print(f"{OURS}, onnxruntime: not measured ({error}).", file=sys.stderr)
        return {}
    style = next(iter(painter.styles))
    return {f"{OURS}, pipeline (onnxruntime, float32)": lambda: painter(photo, style)}


def body_share(generator: Generator, size: int, rounds: int) -> tuple[float, float, str]:
    """GFLOP/s of a residual convolution with its padding, and of a product of large matrices in the dtype named."""
    dtype, cells = generator.to_rgb.weight.dtype, size // 4 + 6
    conv = generator.body[0].conv
    x = torch.rand(1, conv.in_channels, cells, cells).to(dtype, memory_format=torch.channels_last)
    one, other = (torch.rand(2048, 2048).to(dtype) for _ in range(2))
    calls = {"conv": lambda: conv(x), "matrix": lambda: one @ other}
    if multiplies_eight_bits():
        levels = (x.float() * 255).to(torch.uint8)
        brief = EightBitConv(conv, Levels.between(*torch.tensor([0.0, 1.0, 0.5])[:, None].expand(3, x.shape[1])))
        calls["conv"] = lambda: brief(F.pad(levels, (1, 1, 1, 1), mode="reflect"))
    taken = times_in_turn(calls, rounds)
    work = {"conv": 2 * cells**2 * conv.weight.numel(), "matrix": 2 * 2048**3}
    rates = {name: work[name] / median(taken[name]) / 1e6 for name in work}
    return rates["conv"], rates["matrix"], str(dtype).removeprefix("torch.")


# ---- the curves ------------------------------------------------------------------------------------------------------


def curves(pack: Path, sizes: Iterable[int], rounds: int, threads: int) -> dict[str, dict[str, list[tuple]]]:
    """For each network (size, milliseconds) and (size, megabytes above the loaded program)."""
    found = {"time": {name: [] for name in (OURS, *PEERS)}, "memory": {name: [] for name in (OURS, *PEERS)}}
    for size in sizes:
        names = [OURS, *(PEERS if size <= SLOWEST else ())]
        taken = times_in_turn({name: call_of(name, pack, size) for name in names}, rounds)
        for name in names:
            found["time"][name].append((size, median(taken[name])))
            found["memory"][name].append((size, memory_of(name, pack, size, threads)))
    return found


def memory_of(name: str, pack: Path, size: int, threads: int) -> float:
    """Megabytes that painting a square adds to the loaded program, measured in a process of its own."""
    command = [sys.executable, __file__, str(pack), "--memory-of", name, "--size", str(size)]
    done = subprocess.run([*command, "--threads", str(threads)], check=True, capture_output=True, text=True)
    return float(done.stdout)


def added_memory(name: str, pack: Path, size: int) -> float:
    """As `memory_of`, in this process, on Linux: the peak while it paints, less what was held before."""
    call = call_of(name, pack, size)
    Path("/proc/self/clear_refs").write_text("5")  # what was the peak so far is forgotten
    before = status_of("VmRSS")
    call()
    return (status_of("VmHWM") - before) / 1024


def status_of(key: str) -> int:
    """A line of this process's status in /proc, in kilobytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(f"{key}:")).split()[1])


def draw(points: Mapping[str, list[tuple]], label: str, file: Path) -> None:
    """A plot of one quantity against the side of the picture, both on logarithmic axes."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 3.6), layout="constrained")
    axes = figure.subplots()
    for name, line in points.items():
        width = 2.5 if name == OURS else 1.5
        axes.plot(*zip(*line, strict=True), marker="o", label=name, color=COLORS[name], linewidth=width)
    axes.set(xscale="log", yscale="log", xlabel="side of the picture, pixels", ylabel=label)
    axes.set_xticks(SIZES, [str(size) for size in SIZES])
    axes.minorticks_off()
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    figure.savefig(file, dpi=130)


# ---- all of it -------------------------------------------------------------------------------------------------------


def table(taken: Times, size: int, threads: int, rates: tuple[float, float, str]) -> str:
    """The page speed.md."""
    middle = {name: median(times) for name, times in taken.items()}
    johnson, rounds = middle["Johnson 2016, float32"], min(map(len, taken.values()))
    rows = [
        f"| {name} | {middle[name]:.0f} | {min(times):.0f} | {johnson / middle[name]:.1f} |"
        for name, times in taken.items()
    ]
    best = min(middle[name] for name in middle if name.startswith("Johnson"))
    cyclegan = middle["CycleGAN, Zhu 2017, float32"]
    ours, network = (next(middle[name] for name in middle if word in name) for word in ("pipeline", "alone"))
    return "\n".join(
        [
            f"{size}x{size}, {threads} threads, {cpu_name()}, torch {torch.__version__}, medians of {rounds} taken in "
            "turn. `make bench` repeats it.",
            "",
            "| network | median, ms | fastest, ms | times as fast as Johnson 2016 in float32 |",
            "|---|---:|---:|---:|",
            *rows,
            "",
            f"* Against the fastest mode of the Johnson network: pipeline {best / ours:.1f} times, network alone "
            f"{best / network:.1f} times.",
            f"* Network alone against CycleGAN's generator: {cyclegan / network:.0f} times.",
            f"* A residual convolution with its mirrored padding runs at {rates[0]:.0f} GFLOP/s, "
            f"{100 * rates[0] / rates[1]:.0f} % of what a product of large matrices reaches on this machine in "
            f"{rates[2]} ({rates[1]:.0f} GFLOP/s).",
            "",
            "![Time against size](speed-time.png)",
            "",
            "![Memory against size](speed-memory.png)",
            "",
        ]
    )


def options() -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pack", type=Path, help="folder of the style pack to paint with")
    parser.add_argument("--size", type=int, default=512, help="side of the square picture of the table, in pixels")
    parser.add_argument("--rounds", type=int, default=10, help="measured calls of each network")
    parser.add_argument("--threads", type=int, default=2, help="threads of torch")
    parser.add_argument("--output", type=Path, metavar="FOLDER", help="folder to write the page and its plots to")
    parser.add_argument("--memory-of", metavar="NETWORK", help="print the megabytes that one painting takes, and stop")
    return parser.parse_args()


@torch.inference_mode()
def main() -> None:
    """Measure, print the table, and write everything to `--output` if given."""
    args = options()
    torch.set_num_threads(args.threads)
    keep_freed_memory()  # as the command and the page do
    if args.memory_of:
        print(added_memory(args.memory_of, args.pack, args.size))
        return
    rates = body_share(Painter(load_pack(args.pack), device="cpu").generator, args.size, args.rounds)
    taken = times_in_turn(table_calls(args.pack, args.size), args.rounds)
    page = table(taken, args.size, args.threads, rates)
    print(page)
    if args.output:
        found = curves(args.pack, SIZES, max(3, args.rounds // 3), args.threads)
        draw(found["time"], "milliseconds", args.output / "speed-time.png")
        draw(found["memory"], "megabytes above the loaded program", args.output / "speed-memory.png")
        (args.output / "speed.md").write_text(page, encoding="utf-8")
        facts = {"cpu": cpu_name(), "threads": args.threads, "table": taken, "curves": found}
        (args.output / "speed.json").write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
