"""Generator against discriminator, on Accelerate, with exact resume.

`Trainer.train_step` is the whole game; everything else prepares it or keeps what it makes.
"""

import os
import sys
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from accelerate.utils import set_seed
from diffusers.training_utils import EMAModel
from torch import Tensor
from tqdm import tqdm

from styletransfer.data.samples import Batch, load_paintings
from styletransfer.data.sources import Source, load_source
from styletransfer.errors import InputError, StreamError, TrainingError
from styletransfer.hub.repos import resolve_pack
from styletransfer.models.generator import Generator
from styletransfer.packs.folder import load_discriminator, load_pack
from styletransfer.packs.provenance import run_facts
from styletransfer.training.batches import Batches, rows_of
from styletransfer.training.checkpoints import list_checkpoints
from styletransfer.training.config import TrainingConfig, config_to_dict, parse_config
from styletransfer.training.game import Scene, as_photos, discriminator_terms, generator_terms, play
from styletransfer.training.log import Clock, LossLog
from styletransfer.training.networks import Networks, build_networks
from styletransfer.training.objective import Objective
from styletransfer.training.picture_pool import SlotPools, load_pools, save_pools
from styletransfer.training.publishing import Publisher, fetch_checkpoint, open_publisher
from styletransfer.training.setup import (
    SCRIPT,
    adam,
    build_accelerator,
    build_scheduler,
    check_names,
    check_same_networks,
    checkpoint_folder,
    find_checkpoint,
    how_to_resume,
    hub_datasets,
    initialize,
    initialize_discriminator,
    or_monet,
    required,
)
from styletransfer.training.state import read_position, read_progress, write_checkpoint
from styletransfer.training.updates import Updates
from styletransfer.training.watch import Watch, pick_sample_photos


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
        required(config.photos, "--photos SOURCE")
        check_names(config)
        self.photos = [self._source(source) for source in config.photos]
        self.paintings = {name: self._source(source) for name, source in config.style_sources.items()}
        fetch_checkpoint(config, self.accelerator, self.checkpoints)
        self.resume_from = find_checkpoint(config, self.checkpoints)
        self.publisher: Publisher | None = None
        self.step = self.saved = 0
        self.clock = Clock()
        set_seed(config.seed)
        self.sample_photos = pick_sample_photos(config, self.photos)
        self.batches = Batches(self.accelerator, config, self.photos, self.paintings)
        self._build_networks()
        self._build_pools()
        device = self.accelerator.device
        self.objective = Objective(config, self._some_paintings, device)
        self.watch = Watch(config, self.sample_photos, self._some_paintings, self.objective, device)
        if self.resume_from:
            self._load_checkpoint(self.resume_from)

    # ---- building -------------------------------------------------------------------------------------------------

    def _build_networks(self) -> None:
        config, accelerator = self.config, self.accelerator
        networks = build_networks(config)
        if config.initialize_from:
            self._initialize(networks, resolve_pack(config.initialize_from))
        optimizers = [
            adam(networks.players, config.learning_rate),
            adam(networks.judges, config.discriminator_learning_rate),
        ]
        # Not prepared by Accelerate, which would step them once per process: one step is one optimizer update.
        self.schedulers = [build_scheduler(config, optimizer) for optimizer in optimizers]
        self.ema = EMAModel(networks.generator.parameters(), decay=config.ema_decay)
        *wrapped, first, second = accelerator.prepare(*networks.all, *optimizers)
        self.networks = networks.map(dict(zip(networks.all, wrapped, strict=True)).__getitem__)
        self.bare = self.networks.map(accelerator.unwrap_model)
        sides = [(self.networks.players, first), (self.networks.judges, second)]
        self.updates = Updates(accelerator, sides, config.max_gradient_norm)
        self.ema.to(accelerator.device)
        accelerator.register_for_checkpointing(*self.schedulers, self.ema)

    def _initialize(self, networks: Networks, pack: Path) -> None:
        trained, judge = load_pack(pack), load_discriminator(pack)
        initialize(networks.generator, trained)
        if judge and not initialize_discriminator(networks.discriminator, judge, self.config.style_titles, trained):
            tqdm.write("The discriminator starts anew: --initialize-from has one of another size.")

    def _build_pools(self) -> None:
        """The pictures that discriminators see again; each process keeps its own in the checkpoint."""
        config = self.config
        self.passes = 0  # of the current step
        passes = config.gradient_accumulation_steps
        own = [slot for number in range(passes) for slot in self._slots(number)]
        slots = len(own) * self.accelerator.num_processes
        sorts = ("painting", "photo") if config.pool_size else ()
        self.pools = {sort: SlotPools(config.pool_size, slots, own, config.seed) for sort in sorts}
        self.accelerator.register_save_state_pre_hook(lambda models, weights, folder: self._save_state(Path(folder)))
        self.accelerator.register_load_state_pre_hook(lambda models, folder: self._load_state(Path(folder)))

    def _save_state(self, folder: Path) -> None:
        """Called in every process: what Accelerate does not know of."""
        if self.pools:
            save_pools(folder, self.accelerator.process_index, self.pools)
        if self.accelerator.is_main_process:
            self.watch.best.save(folder)

    def _load_state(self, folder: Path) -> None:
        load_pools(folder, self.pools, self.accelerator.device)
        self.watch.best.load(folder)

    # ---- the loop -------------------------------------------------------------------------------------------------

    def train(self) -> Path:
        """Train to the last step; returns the folder of the pack."""
        config = self.config
        self.publisher = open_publisher(config, self.accelerator)
        log = LossLog(self.accelerator, self.output, config_to_dict(config), first_step=self.step)
        sums: dict[str, Tensor] = {}
        with self._progress_bar() as bar:
            for batch in self.batches.after(self.step):
                with self.accelerator.accumulate(*self.networks.all):
                    terms = self.train_step(batch)
                self._report_skipped(batch.skipped)
                share = 1 / config.gradient_accumulation_steps
                sums = {name: sums.get(name, 0) + share * value.detach() for name, value in terms.items()}
                if self.accelerator.sync_gradients:
                    self.step += 1
                    bar.update()
                    if self.step % config.log_every == 0 or self.step == config.steps:
                        line = log.write(self.step, sums, learning_rate=self.schedulers[0].get_last_lr()[0])
                        if self.accelerator.is_main_process:
                            self.watch.losses(self.step, line)
                    self._after_step()
                    sums = {}
        if self.step and self.saved != self.step:
            self.save_checkpoint()
        pack = self.save_pack()
        self._training_ended(pack)
        return pack

    def _progress_bar(self) -> tqdm:
        hidden = not self.accelerator.is_main_process
        return tqdm(total=self.config.steps, initial=self.step, unit="step", disable=hidden)

    def train_step(self, batch: Batch) -> dict[str, Tensor]:
        """One forward and backward pass of all networks; returns the losses by name."""
        scene = play(self.networks, batch)
        inner = scene.inside(self.config.loss_margin)
        judged = self._judge(inner)
        self.updates.backward(judged)
        with self.accelerator.autocast():
            terms = self.objective(inner.fake_painting, inner.batch.photo, batch.style_weights, self.step)
            terms |= generator_terms(self.config, self.networks, self.bare, scene, self.step)
        self.updates.backward(terms)
        self.updates.apply(self.step + 1, self._kept())
        self.passes += 1
        if self.accelerator.sync_gradients:
            self.passes = 0
            for scheduler in self.schedulers:
                scheduler.step()
            self.ema.step(self.bare.generator.parameters())
        return judged | terms

    def _judge(self, inner: Scene) -> dict[str, Tensor]:
        """What the discriminators are asked for, the pictures of earlier steps among those of this one."""
        config, networks, batch = self.config, self.networks, inner.batch
        penalize = config.r1_weight > 0 and self.step % config.r1_every == 0
        fake, styles = self._from_pool("painting", inner.fake_painting, batch.style_weights)
        terms = discriminator_terms(config, networks.discriminator, batch, fake, penalize, styles)
        if networks.photo_discriminator:
            batch = as_photos(batch)
            fake, styles = self._from_pool("photo", inner.fake_photo, batch.style_weights)
            of_photos = discriminator_terms(config, networks.photo_discriminator, batch, fake, penalize, styles)
            terms |= {f"{name}_photo": value for name, value in of_photos.items()}
        return terms

    def _from_pool(self, sort: str, fake: Tensor, style_weights: Tensor) -> tuple[Tensor, Tensor]:
        if not self.pools:
            return fake.detach(), style_weights
        return self.pools[sort].exchange(fake.detach(), style_weights, self._slots(self.passes)[0], self.step)

    def _slots(self, number: int) -> range:
        """Where pass `number` of a step stands, in this process, among the pictures of that step."""
        size = self.config.batch_size
        first = size * (number * self.accelerator.num_processes + self.accelerator.process_index)
        return range(first, first + size)

    def _kept(self) -> str:
        whole = list_checkpoints(self.checkpoints)
        return f"the last good checkpoint is {whole[-1]}" if whole else "there is no checkpoint yet"

    def _after_step(self) -> None:
        config, measured = self.config, self.watch.best.scores
        due = self.step % config.sample_every == 0 or (self.step == config.steps and measured)
        if due and self.accelerator.is_main_process:
            self.watch.look(self.step, self._averaged)
        # Weights that give no numbers may be spoilt: what was kept before them stays.
        if self.step % config.checkpoint_every == 0 and not self.updates.left_out:
            self.save_checkpoint()
        # The pack of the last step is pushed at the end.
        due = config.push_every and self.step % config.push_every == 0 and self.step < config.steps
        if self.publisher and due:
            self.publisher.offer_pack(self._write_pack())

    # ---- data -----------------------------------------------------------------------------------------------------

    def _some_paintings(self, style: str, limit: int) -> Iterator[Tensor]:
        """At most so many whole paintings of a style (1, 3, H, W)."""
        config = self.config
        rows = rows_of(f'the paintings of "{style}"', self.paintings[style], config.stream_patience)
        return load_paintings(rows, config.painting_size, limit)

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
            seconds=self.clock.seconds,
            keep=config.keep_checkpoints,
            position=self.batches.position,
        )
        self.saved = self.step
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
        self.step = self.saved = progress["step"]
        self.clock = Clock(progress.get("seconds", 0))
        if self.batches.streamed:
            self.batches.position = read_position(path, self.accelerator, config_to_dict(self.config))

    def save_pack(self) -> Path:
        """Write the averaged generator as a style pack, main process only; returns its folder.

        Where an earlier average was better, that one is beside it as pack-best.
        """
        if self.accelerator.is_main_process:
            self._write_pack()
            self.watch.save_best(self.output / "pack-best", self.step, self._averaged, **self._told())
        self.accelerator.wait_for_everyone()
        return self.pack

    @property
    def pack(self) -> Path:
        """Folder of this run's pack."""
        return self.output / "pack"

    def _write_pack(self) -> Path:
        self.watch.save_pack(self.pack, self._averaged, **self._told())
        return self.pack

    def _told(self) -> dict[str, Any]:
        """What a pack's card tells of its training."""
        datasets, processes = hub_datasets(self.config), self.accelerator.num_processes
        run = run_facts(self.accelerator.device, processes=processes, seconds=self.clock.seconds, datasets=datasets)
        judge = self.bare.discriminator if self.config.pack_discriminator else None
        recipe, half = config_to_dict(self.config), self.config.pack_half
        return {"recipe": recipe, "run": run, "discriminator": judge, "half": half}

    def _averaged(self) -> Generator:
        bare = self.bare.generator
        averaged = Generator(**{name: bare.config[name] for name in ("styles", "channels", "blocks", "grain")})
        self.ema.copy_to(averaged.parameters())
        return averaged.eval().requires_grad_(False)


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
