"""Fake pictures of earlier steps, shown to a discriminator again so that it does not forget them.

Shrivastava (2017, section 2.3), as Zhu (2017, section 4) uses it: 50 pictures, an old one with probability 1/2.
"""

from collections.abc import Collection
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

STREAM = 0x706F6F6C  # a stream of random numbers of its own, apart from those of data/samples.py
FILE = "pool-{process}.safetensors"
KINDS = ("painting", "photo")  # of fakes: each has a discriminator and a pool of its own

Entry = tuple[Tensor, Tensor]  # a picture (3, H, W) and its style weights (S,)


class PicturePool:
    """A fixed number of pictures. The caller draws the random numbers, so that a resumed run draws the same.

    Args:
        capacity: pictures kept; 0 hands every picture straight back.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.entries: list[Entry] = []

    def exchange(self, entry: Entry, coin: float, place: float) -> Entry:
        """Give a picture, get one: the same while the pool fills and with probability 1/2 later, else an old one.

        An old picture that is handed out leaves the pool, and the new one takes its place.

        Args:
            entry: the new picture and its style weights; a picture with NaN or infinity is never kept.
            coin, place: uniform in [0, 1): whether an old picture comes back, and which.
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
        return old if old[0].shape == entry[0].shape else entry  # the run was resumed with another crop size


class SlotPools:
    """The pools for one kind of fake: one for each slot of a step, together `size` pictures.

    A slot is a picture's place among all pictures of a step, over all processes and accumulated passes. Each slot has
    its own pool and its own random numbers, so that two processes see the same old pictures as one does.

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
        """Everything kept, under the names that `restore` reads."""
        kept = {}
        for slot, pool in self.pools.items():
            for number, (picture, weights) in enumerate(pool.entries):
                kept[f"{slot}.{number}.picture"] = picture.contiguous()
                kept[f"{slot}.{number}.style"] = weights.contiguous()
        return kept

    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Fill the slots of this process from what `tensors` returned in all processes."""
        for slot, pool in self.pools.items():
            pool.entries = []
            while (name := f"{slot}.{len(pool.entries)}") + ".picture" in tensors and len(pool.entries) < pool.capacity:
                pool.entries.append((tensors[name + ".picture"], tensors[name + ".style"]))


class Pools:
    """The pools of a run, one `SlotPools` for each kind of fake, and the slots of this process.

    Args:
        size: pictures of each kind, over all processes; 0 for no pools.
        batch_size: pictures per process and forward pass.
        passes: forward passes per step.
        process: number of this process.
        processes: how many there are.
        seed: of the run.
    """

    def __init__(self, size: int, *, batch_size: int, passes: int, process: int, processes: int, seed: int) -> None:
        self.batch_size, self.process, self.processes = batch_size, process, processes
        own = [slot for number in range(passes) for slot in self._slots(number)]
        slots = len(own) * processes
        self.pools = {kind: SlotPools(size, slots, own, seed) for kind in KINDS} if size else {}

    def exchange(
        self, kind: str, fakes: Tensor, style_weights: Tensor, step: int, number: int
    ) -> tuple[Tensor, Tensor]:
        """Give the fakes (N, 3, H, W) and style weights (N, S) of pass `number` of a step, get as many, new and old."""
        if not self.pools:
            return fakes, style_weights
        return self.pools[kind].exchange(fakes, style_weights, self._slots(number)[0], step)

    def _slots(self, number: int) -> range:
        first = self.batch_size * (number * self.processes + self.process)
        return range(first, first + self.batch_size)

    def save(self, folder: Path) -> None:
        """Write this process's part into a checkpoint; nothing without pools."""
        if self.pools:
            parts = ((kind, key, value) for kind, pool in self.pools.items() for key, value in pool.tensors().items())
            save_file(
                {f"{kind}.{key}": value for kind, key, value in parts}, folder / FILE.format(process=self.process)
            )

    def load(self, folder: Path, device: torch.device) -> None:
        """Take up the pools that all processes wrote into a checkpoint; one without pools leaves them empty."""
        tensors = {}
        for file in sorted(folder.glob(FILE.format(process="*"))):
            tensors |= {name: tensor.to(device) for name, tensor in load_file(file).items()}
        for kind, pool in self.pools.items():
            pool.restore({key.removeprefix(f"{kind}."): v for key, v in tensors.items() if key.startswith(f"{kind}.")})
