"""Say how many pictures a training step takes a second, beside one of CycleGAN, and where its time goes.

    python benchmarks/training.py --photos examples --style red=painting.jpg --cpu --batch-size 1 --output-dir /tmp/run

takes the flags of train_accelerate.py. Steps of both are taken in turn on crops of the same size. CycleGAN's step is
that of Zhu (2017) as its users run it: two generators of nine residual blocks, two PatchGANs of 70 pixels, least
squares, cycles, identity; one photo and one painting.
"""

import sys
import time
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from statistics import median

import torch
import torch.nn.functional as F
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # runs from a clone that was never installed

from benchmarks.peers import cyclegan_network, patchgan_network
from benchmarks.speed import cpu_name
from styletransfer.training.flags import parse_config
from styletransfer.training.trainer import Trainer

STEPS, WARM_UP = 10, 2
CYCLE, IDENTITY = 10.0, 5.0  # weights of Zhu (2017)


class CycleGan:
    """CycleGAN on random pictures."""

    def __init__(self, size: int, device: torch.device) -> None:
        self.paint, self.unpaint = (cyclegan_network().train().to(device) for _ in range(2))
        self.of_paintings, self.of_photos = (patchgan_network().train().to(device) for _ in range(2))
        self.photo, self.painting = (torch.rand(1, 3, size, size, device=device) * 2 - 1 for _ in range(2))
        self.optimizers = [
            torch.optim.Adam([*one.parameters(), *other.parameters()], lr=2e-4, betas=(0.5, 0.999))
            for one, other in ((self.paint, self.unpaint), (self.of_paintings, self.of_photos))
        ]

    def step(self) -> None:
        """One update of the generators, then one of the discriminators."""
        fakes = self._generators()
        judges = ((self.of_paintings, self.painting), (self.of_photos, self.photo))
        losses = [
            (_squares(judge(real), 1) + _squares(judge(fake.detach()), 0)) / 2
            for (judge, real), fake in zip(judges, fakes, strict=True)
        ]
        _update(self.optimizers[1], sum(losses))

    def _generators(self) -> tuple[Tensor, Tensor]:
        judges = [self.of_paintings, self.of_photos]
        for judge in judges:
            judge.requires_grad_(False)
        photo, painting = self.photo, self.painting
        fakes = self.paint(photo), self.unpaint(painting)
        adversarial = sum(_squares(judge(fake), 1) for judge, fake in zip(judges, fakes, strict=True))
        cycle = F.l1_loss(self.unpaint(fakes[0]), photo) + F.l1_loss(self.paint(fakes[1]), painting)
        same = F.l1_loss(self.paint(painting), painting) + F.l1_loss(self.unpaint(photo), photo)
        _update(self.optimizers[0], adversarial + CYCLE * cycle + IDENTITY * same)
        for judge in judges:
            judge.requires_grad_(True)
        return fakes


def _squares(answer: Tensor, wanted: int) -> Tensor:
    return F.mse_loss(answer, torch.full_like(answer, wanted))


def _update(optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


def measured(trainer: Trainer, peers: dict[str, Callable[[], None]]) -> dict[str, float]:
    """Median seconds of a step of ours, by the name "", and of the others, taken in turn."""
    cuda = trainer.accelerator.device.type == "cuda"
    taken: dict[str, list[float]] = {name: [] for name in ("", *peers)}

    def timed(name: str, step: Callable[[], object]) -> None:
        start = time.perf_counter()
        step()
        if cuda:
            torch.cuda.synchronize()
        taken[name].append(time.perf_counter() - start)

    for batch in trainer.profile.each("pictures", trainer.batches.after(0)):
        with trainer.accelerator.accumulate(*trainer.networks.all):
            timed("", partial(trainer.train_step, batch))
        trainer.step += 1
        if trainer.step == WARM_UP:
            trainer.profile.seconds.clear()
        for name, step in peers.items():
            timed(name, step)
    return {name: median(seconds[WARM_UP:]) for name, seconds in taken.items()}


def in_bfloat16(device: torch.device, step: Callable[[], None]) -> None:
    """A step with automatic mixed precision."""
    with torch.autocast(device.type, torch.bfloat16):
        step()


def main() -> None:
    """Measure and print."""
    config = parse_config(["--profile", "--steps", str(STEPS), *sys.argv[1:]], prog="training.py")
    trainer = Trainer(config)
    device = trainer.accelerator.device
    peer = CycleGan(config.crop_size, device)
    peers = {"float32": peer.step, "bf16": partial(in_bfloat16, device, peer.step)}
    seconds = measured(trainer, peers)
    place = (
        torch.cuda.get_device_name() if device.type == "cuda" else f"{cpu_name()}, {torch.get_num_threads()} threads"
    )
    steps = f"crops of {config.crop_size} pixels, medians of {STEPS - WARM_UP} steps"
    print(f"{place}, torch {torch.__version__}, {steps}.", end="\n\n")
    print("| step | pictures | seconds | pictures a second | million weights learned |\n|---|---:|---:|---:|---:|")
    print(row(f"styletransfer ({config.mixed_precision})", config.batch_size, seconds[""], trainer.bare.all))
    for name in peers:
        networks = (peer.paint, peer.unpaint, peer.of_paintings, peer.of_photos)
        print(row(f"CycleGAN ({name})", 1, seconds[name], networks))
    print("\n| part of our step | share |\n|---|---:|")
    parts = trainer.profile.seconds
    for part in sorted(parts, key=parts.get, reverse=True):
        print(f"| {part} | {parts[part] / sum(parts.values()):.0%} |")


def row(name: str, pictures: int, seconds: float, networks: Iterable[nn.Module]) -> str:
    """Of the table."""
    learned = sum(values.numel() for network in networks for values in network.parameters()) / 1e6
    return f"| {name} | {pictures} | {seconds:.2f} | {pictures / seconds:.2f} | {learned:.1f} |"


if __name__ == "__main__":
    main()
