"""Generator against discriminator, on Accelerate, with exact resume.

`Trainer.train_step` is the whole game; everything else prepares it or keeps what it makes.
"""

import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path

import torch
from accelerate.utils import set_seed
from diffusers.training_utils import EMAModel
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader
from tqdm import tqdm

from styletransfer import losses
from styletransfer.checkpoints import checkpoint_path, list_checkpoints, prune
from styletransfer.config import TrainingConfig, config_to_dict, parse_config
from styletransfer.data import Batch, PairedCrops, StepSampler, collate, load_paintings, load_source
from styletransfer.discriminator import Discriminator, augment
from styletransfer.errors import InputError, TrainingError
from styletransfer.folders import commit, partial_path, why_unwritten
from styletransfer.generator import Generator
from styletransfer.images import save_picture
from styletransfer.objective import Objective, discriminator_terms, mean_grams, style_network
from styletransfer.packs import load_pack, save_pack
from styletransfer.pipeline import StyleTransferPipeline
from styletransfer.samples import first_readable, pack_samples, sample_grid
from styletransfer.training_log import LossLog
from styletransfer.training_setup import (
    adam,
    build_accelerator,
    build_scheduler,
    check_same_networks,
    check_styles,
    find_checkpoint,
    initialize,
    required,
)

TARGET_PAINTINGS = 64  # of a style, for its mean Gram matrices
SAMPLE_PHOTOS = 4
PROGRESS = "progress.json"


class Trainer:
    """Trains the styles of a config and leaves a pack in its output folder.

    Raises:
        InputError: sources, settings or folders that cannot be used; nothing has been changed on the disk then.
        TrainingError: from `train`, when a loss is no number any more.
    """

    def __init__(self, config: TrainingConfig) -> None:
        self.config = config
        self.output = Path(config.output_dir)
        self.accelerator = build_accelerator(config)
        self.photos = [load_source(source) for source in required(config.photos, "--photos SOURCE")]
        check_styles(config)
        self.paintings = {name: load_source(source) for name, source in config.style_sources.items()}
        self.resume_from = find_checkpoint(config, self.checkpoints)
        self.step = 0
        set_seed(config.seed)
        self.sample_photos = self._pick_sample_photos()
        self.crops = self._build_crops()
        self._build_networks()
        self._build_objective()
        if self.resume_from:
            self._load_checkpoint(self.resume_from)

    # ---- building -------------------------------------------------------------------------------------------------

    def _build_networks(self) -> None:
        config = self.config
        generator = Generator(styles=config.style_titles, channels=config.channels, blocks=config.blocks)
        if config.initialize_from:
            initialize(generator, load_pack(config.initialize_from))
        discriminator = Discriminator(
            len(self.paintings), config.discriminator_channels, config.discriminator_scales, config.spectral_norm
        )
        generator_optimizer = adam(generator, config.learning_rate)
        discriminator_optimizer = adam(discriminator, config.discriminator_learning_rate)
        # Not prepared by Accelerate, which would step them once per process: one step is one optimizer update.
        self.schedulers = [build_scheduler(config, o) for o in (generator_optimizer, discriminator_optimizer)]
        self.ema = EMAModel(generator.parameters(), decay=config.ema_decay)
        self.generator, self.discriminator, self.generator_optimizer, self.discriminator_optimizer = (
            self.accelerator.prepare(
                generator.to(memory_format=torch.channels_last),
                discriminator.to(memory_format=torch.channels_last),
                generator_optimizer,
                discriminator_optimizer,
            )
        )
        self.ema.to(self.accelerator.device)
        self.accelerator.register_for_checkpointing(*self.schedulers, self.ema)

    def _build_objective(self) -> None:
        config, device = self.config, self.accelerator.device
        features = style_network(config).to(device)
        per_style = []
        for dataset in self.paintings.values():
            paintings = (p.to(device) for p in load_paintings(dataset, config.painting_size, TARGET_PAINTINGS))
            per_style.append(mean_grams(features, paintings, len(config.style_layers), config.style_octaves))
        grams = [torch.stack(per_layer) for per_layer in zip(*per_style, strict=True)]
        self.objective = Objective(config, features, grams).to(device)

    # ---- the loop -------------------------------------------------------------------------------------------------

    def train(self) -> Path:
        """Train to the last step; returns the folder of the pack."""
        config = self.config
        log = LossLog(self.accelerator, self.output, config_to_dict(config), first_step=self.step)
        sums: dict[str, Tensor] = {}
        with self._progress_bar() as bar:
            for batch in self._batches():
                with self.accelerator.accumulate(self.generator, self.discriminator):
                    terms = self.train_step(batch)
                self._report_skipped(batch.skipped)
                share = 1 / config.gradient_accumulation_steps
                sums = {name: sums.get(name, 0) + share * value.detach() for name, value in terms.items()}
                if self.accelerator.sync_gradients:
                    self.step += 1
                    bar.update()
                    if self.step % config.log_every == 0 or self.step == config.steps:
                        log.write(self.step, sums, learning_rate=self.schedulers[0].get_last_lr()[0])
                    self._after_step()
                    sums = {}
        if self.step and (not list_checkpoints(self.checkpoints) or self.step % config.checkpoint_every):
            self.save_checkpoint()
        pack = self.save_pack()
        self.accelerator.end_training()
        return pack

    def _progress_bar(self) -> tqdm:
        hidden = not self.accelerator.is_main_process
        return tqdm(total=self.config.steps, initial=self.step, unit="step", disable=hidden)

    def train_step(self, batch: Batch) -> dict[str, Tensor]:
        """One forward and backward pass of both networks; returns the losses by name."""
        fake_painting = self.generator(batch.photo, batch.style_weights)
        batch, fake_painting = self._without_rim(batch, fake_painting)

        penalize = self.config.r1_weight > 0 and self.step % self.config.r1_every == 0
        terms = discriminator_terms(self.config, self.discriminator, batch, fake_painting.detach(), penalize)
        self._check_finite(terms)
        self.accelerator.backward(sum(terms.values()))

        with _frozen(self._bare(self.discriminator)):
            generator_terms = self._generator_terms(batch, fake_painting)
            self._check_finite(generator_terms)
            self.accelerator.backward(sum(generator_terms.values()))
        # Both at the end, so that every pass accumulated into a step meets the same discriminator.
        self._update(self.discriminator, self.discriminator_optimizer)
        self._update(self.generator, self.generator_optimizer)

        if self.accelerator.sync_gradients:
            for scheduler in self.schedulers:
                scheduler.step()
            self.ema.step(self._bare(self.generator).parameters())
        return terms | generator_terms

    def _without_rim(self, batch: Batch, fake_painting: Tensor) -> tuple[Batch, Tensor]:
        """What the losses look at: far enough inside that the crop's own border cannot be painted for them."""
        inside = slice(self.config.loss_margin, self.config.crop_size - self.config.loss_margin)
        photo, painting, fake_painting = (x[..., inside, inside] for x in (batch.photo, batch.painting, fake_painting))
        return batch._replace(photo=photo, painting=painting), fake_painting

    def _generator_terms(self, batch: Batch, fake_painting: Tensor) -> dict[str, Tensor]:
        """The objective, and fooling the discriminator."""
        config = self.config
        with self.accelerator.autocast():
            terms = self.objective(fake_painting, batch.photo, batch.style_weights)
        if config.adversarial_weight:
            # The bare module: with its parameters frozen, the distributed wrapper would wait for their gradients.
            seen = augment(fake_painting, batch.augmentation[:, 1])
            fake_logits = self._bare(self.discriminator)(seen, batch.style_weights)
            terms["adversarial"] = config.adversarial_weight * losses.generator_loss(fake_logits, config.adversarial)
        if config.identity_weight:
            same = self.generator(batch.painting.detach(), batch.style_weights)
            terms["identity"] = config.identity_weight * losses.l1_loss(same, batch.painting)
        return terms

    def _update(self, network: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        if self.accelerator.sync_gradients:
            self.accelerator.unscale_gradients(optimizer)  # clip_grad_norm_ of Accelerate would unscale both networks
            nn.utils.clip_grad_norm_(network.parameters(), self.config.max_gradient_norm)
        optimizer.step()
        optimizer.zero_grad()  # after the step, not before the pass: it must not clear what is being accumulated

    def _check_finite(self, terms: Mapping[str, Tensor]) -> None:
        bad = [name for name, value in terms.items() if not value.isfinite()]
        if bad:
            whole = list_checkpoints(self.checkpoints)
            last = f"the last good checkpoint is {whole[-1]}" if whole else "there is no checkpoint yet"
            raise TrainingError(
                f"The loss {bad[0]} is no number any more at step {self.step + 1}; {last}: "
                "continue from there with a lower learning rate."
            )

    def _after_step(self) -> None:
        if self.step % self.config.checkpoint_every == 0:
            self.save_checkpoint()
        if self.step % self.config.sample_every == 0:
            self._save_samples()

    # ---- data -----------------------------------------------------------------------------------------------------

    def _build_crops(self) -> PairedCrops:
        config = self.config
        return PairedCrops(
            self.photos,
            self.paintings,
            crop_size=config.crop_size,
            photo_scale=config.photo_scale,
            painting_size=config.painting_size,
            seed=config.seed,
            length=config.steps * self._samples_per_step(),
        )

    def _samples_per_step(self) -> int:
        config = self.config
        return config.batch_size * self.accelerator.num_processes * config.gradient_accumulation_steps

    def _batches(self) -> Iterator[Batch]:
        """Batches from the current step on: sample numbers alone decide what is in them."""
        config = self.config
        sampler = StepSampler(self.step * self._samples_per_step(), len(self.crops))
        loader = DataLoader(
            self.crops,
            config.batch_size,
            sampler=sampler,
            collate_fn=collate,
            num_workers=config.workers,
            drop_last=True,
        )
        return iter(self.accelerator.prepare_data_loader(loader))

    def _report_skipped(self, skipped: list[str]) -> None:
        for file in skipped:
            if file not in self.skipped:
                self.skipped.add(file)
                tqdm.write(f"skipped {file} ({len(self.skipped)} bad so far)")

    @cached_property
    def skipped(self) -> set[str]:
        """Bad files met so far in this process."""
        return set()

    # ---- keeping --------------------------------------------------------------------------------------------------

    @property
    def checkpoints(self) -> Path:
        """Folder of this run's checkpoints."""
        return self.output / "checkpoints"

    def save_checkpoint(self) -> None:
        """Write everything that `--resume` needs, whole or not at all, and prune old ones."""
        accelerator, target = self.accelerator, checkpoint_path(self.checkpoints, self.step)
        partial = partial_path(target)  # every process writes its part into it, so no process can own it
        accelerator.wait_for_everyone()
        try:
            accelerator.save_state(str(partial))
            accelerator.wait_for_everyone()
            if accelerator.is_main_process:
                progress = {"step": self.step, "processes": accelerator.num_processes}
                progress["config"] = config_to_dict(self.config)
                (partial / PROGRESS).write_text(json.dumps(progress, indent=2), encoding="utf-8")
                commit(target)
                prune(self.checkpoints, self.config.keep_checkpoints)
        except Exception as error:  # each library has its own class for a full disk
            prune(self.checkpoints, self.config.keep_checkpoints)
            whole = list_checkpoints(self.checkpoints)
            kept = f"{whole[-1]} is whole, go on from it with --resume" if whole else "there was none before"
            raise InputError(
                f"The checkpoint of step {self.step} cannot be written: {why_unwritten(error)}; {kept}."
            ) from error
        accelerator.wait_for_everyone()

    def _load_checkpoint(self, path: Path) -> None:
        progress = json.loads((path / PROGRESS).read_text(encoding="utf-8"))
        check_same_networks(progress["config"], config_to_dict(self.config), path)
        self.accelerator.load_state(str(path))
        self.ema.to(self.accelerator.device)
        self.step = progress["step"]

    def save_pack(self) -> Path:
        """Write the averaged generator as a style pack, main process only; returns its folder."""
        pack = self.output / "pack"
        if self.accelerator.is_main_process:
            samples = pack_samples(self._pipeline(), self.sample_photos[0])
            save_pack(pack, self._averaged(), samples=samples, recipe=config_to_dict(self.config))
        self.accelerator.wait_for_everyone()
        return pack

    def _averaged(self) -> Generator:
        bare = self._bare(self.generator)
        averaged = Generator(**{name: bare.config[name] for name in ("styles", "channels", "blocks")})
        self.ema.copy_to(averaged.parameters())
        return averaged.eval().requires_grad_(False)

    def _pipeline(self) -> StyleTransferPipeline:
        return StyleTransferPipeline(self._averaged(), device=self.accelerator.device)

    def _save_samples(self) -> None:
        if not self.accelerator.is_main_process:
            return
        folder = self.output / "samples"
        folder.mkdir(parents=True, exist_ok=True)
        save_picture(sample_grid(self._pipeline(), self.sample_photos), folder / f"step-{self.step:08d}.png")

    def _pick_sample_photos(self) -> list[Image.Image]:
        """The photos of the grids: always the same ones."""
        source = self.config.sample_photos
        rows = load_source(source) if source else self.photos[0]
        paths = [row["image"]["path"] for row in rows.select(range(min(8 * SAMPLE_PHOTOS, len(rows))))]
        return first_readable(paths, SAMPLE_PHOTOS)

    def _bare(self, network: nn.Module) -> nn.Module:
        return self.accelerator.unwrap_model(network)


@contextmanager
def _frozen(network: nn.Module) -> Iterator[None]:
    """The generator's backward pass must leave no gradient in the discriminator."""
    network.requires_grad_(False)
    try:
        yield
    finally:
        network.requires_grad_(True)


def main(argv: Sequence[str]) -> int:
    """Run a training from flags; returns the exit code: 2 for input that cannot be used, 1 when training broke off."""
    debug = "--debug" in argv
    try:
        pack = Trainer(parse_config(argv, prog="train_accelerate.py")).train()
    except (InputError, TrainingError) as error:
        if debug:
            raise
        print(f"error: {error}", file=sys.stderr)
        return 2 if isinstance(error, InputError) else 1
    if int(os.environ.get("RANK", 0)) == 0:
        print(f"pack: {pack}")
    return 0
