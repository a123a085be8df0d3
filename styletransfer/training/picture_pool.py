"""Fake pictures kept for a while, so that a discriminator does not forget what the generator did before.

Shrivastava (2017, section 2.3), as Zhu (2017, section 4) uses it: 50 pictures, an old one with probability 1/2.
"""

from collections.abc import Collection
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

STREAM = 0x706F6F6C  # apart from the streams of data/samples.py
FILE = "pool-{process}.safetensors"

Entry = tuple[Tensor, Tensor]  # a picture (3, H, W) and its style weights (S,)


class PicturePool:
    """Pictures of one stream; which one comes back is told from outside, so that a resumed run gets the same.

    Args:
        capacity: pictures kept; 0 hands every picture straight back.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.entries: list[Entry] = []

    def exchange(self, entry: Entry, coin: float, place: float) -> Entry:
        """The picture itself while the pool fills and with probability 1/2 later, else an old one, which it replaces.

        Args:
            entry: the new picture and its style weights; one that is no number is never kept.
            coin, place: uniform in [0, 1): whether an old one comes back, and which.
        """
        if not entry[0].isfinite().all():
            return entry
        if len(self.entries) < self.capacity:
            self.entries.append(entry)
            return entry
        if coin < 0.5 or not self.entries:
            return entry
        number = int(place * len(self.entries))
        old, self.entries[number] = self.entries[number], entry
        return old if old[0].shape == entry[0].shape else entry  # the run goes on with crops of another size


class SlotPools:
    """The pools of a run: one for each place in a step's batch, together `size` pictures.

    Split so, the pictures of two processes with half of the batch are those of one process: a place has its own pool
    and its own random numbers, wherever it is computed.

    Args:
        size: pictures kept by all processes together; 0 for no pool.
        slots: pictures of a step, over all processes and accumulated passes.
        own: the slots that this process computes.
        seed: of the run.
    """

    def __init__(self, size: int, slots: int, own: Collection[int], seed: int) -> None:
        capacity = -(-size // slots) if size else 0
        self.seed = seed
        self.pools = {slot: PicturePool(capacity) for slot in own} if capacity else {}

    def exchange(self, pictures: Tensor, style_weights: Tensor, first_slot: int, step: int) -> tuple[Tensor, Tensor]:
        """(N, 3, H, W) and (N, S) -> as many pictures, new and old, and their style weights."""
        if not self.pools:
            return pictures, style_weights
        chosen = []
        for slot, (picture, weights) in enumerate(zip(pictures, style_weights, strict=True), start=first_slot):
            coin, place = np.random.default_rng((self.seed, STREAM, step, slot)).random(2)
            chosen.append(self.pools[slot].exchange((picture.clone(), weights.clone()), coin, place))
        old_pictures, old_weights = zip(*chosen, strict=True)
        return torch.stack(old_pictures), torch.stack(old_weights)

    def tensors(self) -> dict[str, Tensor]:
        """Everything kept, by names that `restore` reads."""
        kept = {}
        for slot, pool in self.pools.items():
            for number, (picture, weights) in enumerate(pool.entries):
                kept[f"{slot}.{number}.picture"] = picture.contiguous()
                kept[f"{slot}.{number}.style"] = weights.contiguous()
        return kept

    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Take up the slots of this process from what `tensors` gave in all processes."""
        for slot, pool in self.pools.items():
            pool.entries = []
            while (name := f"{slot}.{len(pool.entries)}") + ".picture" in tensors and len(pool.entries) < pool.capacity:
                pool.entries.append((tensors[name + ".picture"], tensors[name + ".style"]))


def save_pools(folder: Path, process: int, pools: dict[str, SlotPools]) -> None:
    """Write this process's part of every pool into a checkpoint."""
    tensors = {f"{name}.{key}": value for name, pool in pools.items() for key, value in pool.tensors().items()}
    save_file(tensors, folder / FILE.format(process=process))


def load_pools(folder: Path, pools: dict[str, SlotPools], device: torch.device) -> None:
    """Take up the pools of all processes of a checkpoint; one that has none leaves them empty."""
    tensors = {}
    for file in sorted(folder.glob(FILE.format(process="*"))):
        tensors |= {name: tensor.to(device) for name, tensor in load_file(file).items()}
    for name, pool in pools.items():
        own = {key.removeprefix(f"{name}."): value for key, value in tensors.items() if key.startswith(f"{name}.")}
        pool.restore(own)
