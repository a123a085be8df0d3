"""Generator against discriminator, on Accelerate, with exact resume.

`Trainer.train_step` is the whole game; everything else prepares it or keeps what it makes.
"""

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from itertools import islice
from pathlib import Path

import torch
from accelerate.utils import set_seed
from diffusers.training_utils import EMAModel
from PIL import Image
from torch import Tensor, nn
from tqdm import tqdm

from styletransfer import losses
from styletransfer.batches import Batches, rows_of
from styletransfer.checkpoints import list_checkpoints
from styletransfer.config import TrainingConfig, config_to_dict, parse_config
from styletransfer.data import Batch, load_paintings
from styletransfer.discriminator import Discriminator, augment
from styletransfer.errors import InputError, StreamError, TrainingError
from styletransfer.generator import Generator
from styletransfer.images import save_picture
from styletransfer.objective import Objective, discriminator_terms, mean_grams, style_network
from styletransfer.packs import load_pack, save_pack
from styletransfer.pipeline import StyleTransferPipeline
from styletransfer.publishing import Publisher, fetch_checkpoint, open_publisher
from styletransfer.samples import first_readable, pack_samples, sample_grid
from styletransfer.sources import Source, load_source
from styletransfer.training_log import LossLog
from styletransfer.training_setup import (
    SCRIPT,
    adam,
    build_accelerator,
    build_scheduler,
    check_same_networks,
    check_styles,
    checkpoint_folder,
    find_checkpoint,
    how_to_resume,
    initialize,
    or_monet,
    required,
)
from styletransfer.training_state import read_position, read_progress, write_checkpoint

TARGET_PAINTINGS = 64  # of a style, for its mean Gram matrices
SAMPLE_PHOTOS = 4


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
        self.photos = [self._source(source) for source in required(config.photos, "--photos SOURCE")]
        check_styles(config)
        self.paintings = {name: self._source(source) for name, source in config.style_sources.items()}
        fetch_checkpoint(config, self.accelerator, self.checkpoints)
        self.resume_from = find_checkpoint(config, self.checkpoints)
        self.publisher: Publisher | None = None
        self.step = 0
        set_seed(config.seed)
        self.sample_photos = self._pick_sample_photos()
        self.batches = Batches(self.accelerator, config, self.photos, self.paintings)
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
        for name, source in self.paintings.items():
            rows = rows_of(f'the paintings of "{name}"', source, config.stream_patience)
            paintings = (p.to(device) for p in load_paintings(rows, config.painting_size, TARGET_PAINTINGS))
            per_style.append(mean_grams(features, paintings, len(config.style_layers), config.style_octaves))
        grams = [torch.stack(per_layer) for per_layer in zip(*per_style, strict=True)]
        self.objective = Objective(config, features, grams).to(device)

    # ---- the loop -------------------------------------------------------------------------------------------------

    def train(self) -> Path:
        """Train to the last step; returns the folder of the pack."""
        config = self.config
        self.publisher = open_publisher(config, self.accelerator)
        log = LossLog(self.accelerator, self.output, config_to_dict(config), first_step=self.step)
        sums: dict[str, Tensor] = {}
        with self._progress_bar() as bar:
            for batch in self.batches.after(self.step):
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
        self._training_ended(pack)
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
        if self.publisher and self.config.push_every and self.step % self.config.push_every == 0:
            self.publisher.offer_pack(self._write_pack())

    # ---- data -----------------------------------------------------------------------------------------------------

    def _source(self, source: str) -> Source:
        return load_source(source, self.config.streaming)

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
        return checkpoint_folder(self.config)

    def save_checkpoint(self) -> None:
        """Write everything that `--resume` needs, whole or not at all, and prune old ones."""
        config = self.config
        path = write_checkpoint(
            self.accelerator,
            self.checkpoints,
            self.step,
            config_to_dict(config),
            keep=config.keep_checkpoints,
            position=self.batches.position,
        )
        self._checkpoint_written(path)

    def _checkpoint_written(self, path: Path) -> None:
        """Called in every process after each checkpoint, which is whole in its folder by then."""
        if self.publisher and self.config.hub_checkpoint:
            self.publisher.offer_checkpoint(path)

    def _training_ended(self, pack: Path) -> None:
        """Called once in every process, when the last checkpoint and the pack are written."""
        self.accelerator.end_training()
        if self.publisher:  # in the main process; the others are free to go
            for sentence in self.publisher.finish(pack, list_checkpoints(self.checkpoints)[-1]):
                tqdm.write(sentence)

    def _load_checkpoint(self, path: Path) -> None:
        progress = read_progress(path)
        check_same_networks(progress["config"], config_to_dict(self.config), path)
        self.accelerator.load_state(str(path))
        self.ema.to(self.accelerator.device)
        self.step = progress["step"]
        if self.batches.streamed:
            self.batches.position = read_position(path, self.accelerator, config_to_dict(self.config))

    def save_pack(self) -> Path:
        """Write the averaged generator as a style pack, main process only; returns its folder."""
        if self.accelerator.is_main_process:
            self._write_pack()
        self.accelerator.wait_for_everyone()
        return self.pack

    @property
    def pack(self) -> Path:
        """Folder of this run's pack."""
        return self.output / "pack"

    def _write_pack(self) -> Path:
        samples = pack_samples(self._pipeline(), self.sample_photos[0])
        save_pack(self.pack, self._averaged(), samples=samples, recipe=config_to_dict(self.config))
        return self.pack

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
        rows = rows_of("the photos", self._source(source) if source else self.photos[0], self.config.stream_patience)
        return first_readable(islice(rows, 8 * SAMPLE_PHOTOS), SAMPLE_PHOTOS)

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
        config = or_monet(parse_config(argv, prog=SCRIPT))
        pack = Trainer(config).train()
    except (InputError, TrainingError) as error:
        if debug:
            raise
        way = f"; {how_to_resume(argv, config)}" if isinstance(error, StreamError) else ""
        print(f"error: {error}{way}", file=sys.stderr)
        return 2 if isinstance(error, InputError) else 1
    if int(os.environ.get("RANK", 0)) == 0:
        print(f"pack: {pack}")
    return 0
