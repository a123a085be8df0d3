"""Observes a run: sample grids, warnings, the best average so far, and the log of the losses.

All of it runs in the main process, on logged steps and on samples only, and changes no weight.
"""

import json
import math
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from accelerate import Accelerator
from PIL import Image
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor
from tqdm import tqdm

from styletransfer.data.sources import Source, load_source
from styletransfer.errors import InputError
from styletransfer.folders import remove
from styletransfer.images.files import fit_long_side, picture_to_tensor, save_picture
from styletransfer.models.generator import Generator
from styletransfer.packs.folder import save_pack
from styletransfer.pipeline import StyleTransferPipeline
from styletransfer.samples import GRID_SIDE, first_readable, pack_samples, paint_samples, sample_grid
from styletransfer.training.batches import rows_of
from styletransfer.training.config import TrainingConfig, config_to_dict
from styletransfer.training.detectors import Detectors, Samples
from styletransfer.training.objective import Objective

BEST = "best.safetensors"
LOSSES = "losses.jsonl"
SAMPLE_PHOTOS = 4
SHOWN_PAINTINGS = 4  # of each style, for the detectors

Item, Result = TypeVar("Item"), TypeVar("Result")


def pick_sample_photos(config: TrainingConfig, photos: Sequence[Source]) -> list[Image.Image]:
    """The photos of the sample grids, the same in every grid."""
    source = load_source(config.sample_photos, config.streaming) if config.sample_photos else photos[0]
    what = f"--sample-photos {config.sample_photos}" if config.sample_photos else f"--photos {config.photos[0]}"
    rows = rows_of(what, source, config.stream_patience)
    return first_readable(islice(rows, 8 * SAMPLE_PHOTOS), SAMPLE_PHOTOS, f"the first photos of {what}")


class Watch:
    """Sample grids, warnings and the best average of a run.

    Args:
        config: of the run.
        photos: for the sample grids.
        paintings: called with a style and a number, returns at most so many paintings (1, 3, H, W) in [-1, 1].
        objective: of the run.
        device: for painting and measuring.
    """

    def __init__(
        self,
        config: TrainingConfig,
        photos: Sequence[Image.Image],
        paintings: Callable[[str, int], Iterable[Tensor]],
        objective: Objective,
        device: torch.device,
    ) -> None:
        self.config, self.photos, self.objective, self.device = config, photos, objective, device
        self._paintings = paintings
        self.detectors, self.best = Detectors(config.adversarial), BestAverage(_measure(config))

    def losses(self, step: int, line: Mapping[str, float | None]) -> None:
        """Check a logged line, and warn."""
        _warn(self.detectors.losses(step, line))

    def look(self, step: int, averaged: Callable[[], Generator]) -> Image.Image:
        """Paint the samples with the average, save their grid, warn, and keep the average if it is the best so far.

        Args:
            step: updates done.
            averaged: makes a new generator at each call: a pipeline rounds the weights of its own for speed.

        Returns:
            The grid.
        """
        painted = paint_samples(StyleTransferPipeline(averaged(), device=self.device), self.photos)
        folder = Path(self.config.output_dir, "samples")
        folder.mkdir(parents=True, exist_ok=True)
        grid = sample_grid(self.photos, painted)
        save_picture(grid, folder / f"step-{step:08d}.png")
        photos = [self._tensor(fit_long_side(photo, GRID_SIDE)) for photo in self.photos]
        tensors = {style: [self._tensor(picture) for picture in pictures] for style, pictures in painted.items()}
        for style, pictures in tensors.items():
            seen = Samples(photos, pictures, [painting.to(self.device) for painting in self._shown[style]])
            _warn(self.detectors.samples(step, style, seen))
        self.best.offer(step, score(self._yardstick, photos, list(tensors.values())), averaged().parameters())
        return grid

    def save_pack(self, folder: Path, average: Callable[[], Generator], **told: Any) -> None:
        """Write an average as a pack, with samples of the first photo; `told` is for `packs.folder.save_pack`."""
        # Made twice: a pipeline rounds the weights that it paints with.
        samples = pack_samples(StyleTransferPipeline(average(), device=self.device), self.photos[0])
        save_pack(folder, average(), samples=samples, **told)

    def save_best(self, folder: Path, step: int, averaged: Callable[[], Generator], **told: Any) -> None:
        """Write the best average as a pack if it is better than the last, of `step`; `told` as for `save_pack`."""
        if self.best.step in (0, step):
            if folder.exists():  # written when this run ended before
                remove(folder)
            return

        def best() -> Generator:
            generator = averaged()
            self.best.copy_to(generator)
            return generator

        self.save_pack(folder, best, **told)
        last, least = (self.best.scores.get(number) for number in (step, self.best.step))
        tqdm.write(
            f"{folder} holds the average of step {self.best.step}: its score is {least:.4g}, the last {last:.4g}."
        )

    def _tensor(self, picture: Image.Image) -> Tensor:
        return picture_to_tensor(picture).to(self.device)

    @cached_property
    def _shown(self) -> dict[str, list[Tensor]]:
        return {style: list(self._paintings(style, SHOWN_PAINTINGS)) for style in self.config.style_sources}

    @cached_property
    def _yardstick(self) -> Objective:
        """The objective that scores the averages of this run."""
        config = yardstick_config(self.config)
        return self.objective if config is self.config else Objective(config, self._paintings, self.device)


def _measure(config: TrainingConfig) -> str:
    """The settings that a score depends on: those of its losses, its photos and its paintings."""
    losses = ("style", "deep_style", "calm", "content", "tone", "l1_", "color_", "grid_", "total_")
    starts = (*losses, "sample_photos", "photos", "painting_size")
    settings = config_to_dict(yardstick_config(config))
    return json.dumps({name: value for name, value in settings.items() if name.startswith(starts)})


def _warn(sentences: Iterable[str]) -> None:
    for sentence in sentences:
        tqdm.write(f"warning: {sentence}")


def yardstick_config(config: TrainingConfig) -> TrainingConfig:
    """The settings of an `Objective` whose values can be compared between the steps of a run.

    These are the run's own where it measures style or content in fixed networks. Where all networks learn, losses of
    different steps cannot be compared: then style and content in random filters are used (Ustyuzhaninov 2016).
    """
    if config.style_loss_weight or config.content_loss_weight:
        return config
    filters = {"network": "squeezenet1_1", "network_weights": "random"}
    fixed = {f"{what}_{name}": value for what in ("style", "content") for name, value in filters.items()}
    layers = {"style_distance": "gram", "style_layers": ("relu1", "fire2", "fire3"), "content_layers": ("fire5",)}
    weights = {"style_loss_weight": 10.0, "content_loss_weight": 1.0}
    off = dict.fromkeys(("feature_matching_weight", "calm_weight", "tone_weight"), 0.0)
    return replace(config, **fixed, **layers, **weights, **off)


@torch.no_grad()
def score(objective: Objective, photos: Sequence[Tensor], painted: Sequence[Sequence[Tensor]]) -> float:
    """Sum of an objective's losses, mean over styles and photos: less is better.

    Args:
        objective: of `yardstick_config`.
        photos: (1, 3, H, W) in [-1, 1]; those too small for the objective are left out.
        painted: for each style, in order, one painting of each photo, of the photo's size.

    Returns:
        NaN where every photo is too small.
    """
    config, totals = objective.config, []
    least = max(64, 16 * config.style_patches << (config.style_octaves - 1))
    for row, pictures in zip(torch.eye(len(painted), device=photos[0].device), painted, strict=True):
        for photo, painting in zip(photos, pictures, strict=True):
            height, width = (side // 16 * 16 for side in photo.shape[-2:])
            if min(height, width) >= least:
                inside = (..., slice(height), slice(width))
                totals.append(sum(objective(painting[inside], photo[inside], row[None]).values()))
    return torch.stack(totals).mean().item() if totals else math.nan


# ---- the best average so far -----------------------------------------------------------------------------------------


class BestAverage:
    """The averaged weights with the lowest score, and the scores of all steps that were measured.

    Args:
        measure: identifies how scores are measured; scores of a checkpoint that were measured otherwise are ignored.
    """

    def __init__(self, measure: str = "") -> None:
        self.measure = measure
        self.scores: dict[int, float] = {}
        self.parameters: list[Tensor] = []

    @property
    def step(self) -> int:
        """The step of the best average; 0 where nothing was measured."""
        return min(self.scores, key=lambda step: (self.scores[step], -step), default=0)

    def offer(self, step: int, score: float, parameters: Sequence[Tensor]) -> None:
        """Record a score, and keep the weights, on the CPU, if no earlier ones are better."""
        if math.isfinite(score):
            self.scores[step] = score
            if self.step == step:
                self.parameters = [parameter.detach().cpu().clone() for parameter in parameters]

    def save(self, folder: Path) -> None:
        """Write scores and weights into a checkpoint."""
        if self.parameters:
            tensors = {str(number): tensor.contiguous() for number, tensor in enumerate(self.parameters)}
            save_file(tensors, folder / BEST, metadata={"scores": json.dumps(self.scores), "measure": self.measure})

    def load(self, folder: Path) -> None:
        """Read what `save` wrote; without it, or where scores were measured otherwise, all scores are forgotten."""
        self.scores, self.parameters = {}, []
        if not (folder / BEST).is_file():
            return
        with safe_open(folder / BEST, framework="pt") as file:
            found = file.metadata()
            if found["measure"] == self.measure:
                self.parameters = [file.get_tensor(str(number)) for number in range(len(file.keys()))]
                self.scores = {int(step): score for step, score in json.loads(found["scores"]).items()}

    def copy_to(self, network: torch.nn.Module) -> None:
        """Copy the best weights into a network."""
        for parameter, kept in zip(network.parameters(), self.parameters, strict=True):
            parameter.data.copy_(kept)


# ---- the losses of a run ---------------------------------------------------------------------------------------------


class Clock:
    """Seconds of training, including those before the last resume."""

    def __init__(self, before: float = 0.0) -> None:
        self._started = time.monotonic() - before

    @property
    def seconds(self) -> float:
        """Seconds so far."""
        return time.monotonic() - self._started


class Profile:
    """Measures how much of a run's time its parts take.

    Args:
        synchronize: waits until the device has finished, so that its work counts for the part that started it.
    """

    def __init__(self, synchronize: Callable[[], None]) -> None:
        self._synchronize = synchronize
        self._clock = Clock()
        self.seconds: dict[str, float] = {}

    def timed(self, part: str, function: Callable[..., Result]) -> Callable[..., Result]:
        """The function, its time counted for a part; parts must not call one another."""

        def measured(*arguments: Any, **options: Any) -> Result:
            self._synchronize()
            clock = Clock()
            try:
                return function(*arguments, **options)
            finally:
                self._synchronize()
                self.seconds[part] = self.seconds.get(part, 0.0) + clock.seconds

        return measured

    def each(self, part: str, items: Iterable[Item]) -> Iterator[Item]:
        """The items, the time that they take to come counted for a part."""
        waiting = iter(items)
        following = self.timed(part, lambda: next(waiting, None))
        while (item := following()) is not None:
            yield item

    def report(self) -> str:
        """The share of each part, the largest first."""
        total = self._clock.seconds
        parts = {**self.seconds, "everything else": total - sum(self.seconds.values())}
        shares = sorted(parts.items(), key=lambda part: -part[1])
        return f"profile of {total:.1f} s: " + ", ".join(f"{name} {seconds / total:.1%}" for name, seconds in shares)


class LossLog:
    """Writes `losses.jsonl` in a run's folder and feeds the tracker; values are means over all processes.

    Args:
        accelerator: of the run; its trackers are started here.
        folder: the run's output folder, made where it is missing.
        recipe: the settings, for the tracker.
        first_step: from which this process continues the run.
        checkpoint: that it continues from; None for a new run.
    """

    def __init__(
        self,
        accelerator: Accelerator,
        folder: Path,
        recipe: Mapping[str, Any],
        first_step: int = 0,
        checkpoint: Path | None = None,
    ) -> None:
        self.accelerator, self.path, self.first_step = accelerator, folder / LOSSES, first_step
        self.started = time.monotonic()
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if accelerator.is_main_process:
                self._begin(first_step, checkpoint)
        except OSError as error:
            raise InputError(
                f"The output folder {folder} cannot be written ({error.strerror}): choose another."
            ) from error
        if accelerator.log_with:
            accelerator.init_trackers("styletransfer", config={"recipe": json.dumps(dict(recipe))})

    def save(self, folder: Path) -> None:
        """Copy the lines so far into a checkpoint, so that they are there wherever the run continues."""
        if self.path.is_file():
            shutil.copyfile(self.path, folder / LOSSES)

    def samples(self, step: int, grid: Image.Image) -> None:
        """Show a sample grid in the tracker; called in the main process only."""
        for tracker in self.accelerator.trackers:
            if tracker.name == "tensorboard":
                tracker.log_images({"samples": np.asarray(grid)[None]}, step=step, dataformats="NHWC")
            elif tracker.name == "wandb":
                tracker.log_images({"samples": [grid]}, step=step)

    def _begin(self, step: int, checkpoint: Path | None) -> None:
        """Keep the lines up to `step`: those in the checkpoint, or where it is an old one without, those here."""
        kept = checkpoint / LOSSES if checkpoint else self.path
        source = kept if kept.is_file() else self.path
        lines = source.read_text(encoding="utf-8").splitlines() if source.exists() else []
        kept = [line for line in lines if line.endswith("}") and json.loads(line)["step"] <= step]
        self.path.write_text("".join(f"{line}\n" for line in kept), encoding="utf-8")

    def write(self, step: int, terms: Mapping[str, Tensor], learning_rate: float) -> dict[str, float | None]:
        """Write a line, in the main process; every process must call it.

        Returns:
            The line; None stands for NaN and infinity.
        """
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
