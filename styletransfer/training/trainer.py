"""Training, read from here: `Trainer.train_step` is one step; objective.py and game.py have its losses.

Runs on Accelerate, on one process or many, and resumes exactly.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import set_seed
from diffusers.optimization import get_scheduler
from diffusers.training_utils import EMAModel
from torch import Tensor, nn
from torch.optim.lr_scheduler import LRScheduler
from tqdm import tqdm

from styletransfer.data.samples import Batch, load_paintings
from styletransfer.data.sources import Source, load_source
from styletransfer.errors import InputError, TrainingError
from styletransfer.hub.repos import resolve_pack
from styletransfer.models.generator import Generator
from styletransfer.packs.contents import PROGRESS
from styletransfer.packs.folder import load_discriminator, load_pack
from styletransfer.packs.provenance import run_facts
from styletransfer.training.batches import Batches, rows_of, with_steps
from styletransfer.training.checkpoints import (
    check_same_networks,
    checkpoint_folder,
    find_checkpoint,
    list_checkpoints,
    read_position,
    read_progress,
    write_checkpoint,
)
from styletransfer.training.config import TrainingConfig, config_to_dict
from styletransfer.training.game import Game
from styletransfer.training.networks import Networks, build_networks, initialize, initialize_discriminator
from styletransfer.training.objective import Objective
from styletransfer.training.picture_pool import Pools
from styletransfer.training.publishing import Publisher, fetch_checkpoint, open_publisher
from styletransfer.training.setup import (
    build_accelerator,
    check_names,
    hub_datasets,
    required,
    start_summary,
    warnings,
    weights_from_files,
)
from styletransfer.training.watch import Clock, LossLog, Profile, Watch, pick_sample_photos

PATIENCE = 3  # updates in a row that may be left out
PATIENCE_FP16 = 20  # in fp16 the gradient scaler lowers a scale that is too high by leaving updates out


class Trainer:
    """Trains the styles of a config and leaves a pack in its output folder.

    Raises:
        InputError: sources, settings or folders that cannot be used; nothing on the disk has been changed then.
        TrainingError: from `train`, when losses or gradients stay NaN or infinite.
    """

    def __init__(self, config: TrainingConfig) -> None:
        self.output = Path(config.output_dir)
        self.config = config
        self.accelerator = build_accelerator(config)
        required(config.photos, "--photos SOURCE")
        check_names(config)
        self.photos = [self._source(source) for source in config.photos]
        self.paintings = {name: self._source(source) for name, source in config.style_sources.items()}
        self.config = config = with_steps(config, self.photos, self.accelerator.num_processes)
        fetch_checkpoint(config, self.accelerator, self.checkpoints)
        self.resume_from = find_checkpoint(config, self.checkpoints)
        self.publisher: Publisher | None = None
        self.log: LossLog | None = None
        self.unpushed: list[str] = []  # a sentence for each thing that could not be pushed to the Hub
        self.step = self.saved = 0
        self.clock = Clock()
        self.skipped: set[str] = set()  # files that cannot be used, met so far by this process
        set_seed(config.seed)
        self.sample_photos = pick_sample_photos(config, self.photos)
        self.batches = Batches(self.accelerator, config, self.photos, self.paintings)
        self._build_networks()
        self.game = Game(config, self.networks, self.bare, self._pools())
        device = self.accelerator.device
        with weights_from_files():
            self.objective = Objective(config, self._some_paintings, device)
        self.watch = Watch(config, self.sample_photos, self._some_paintings, self.objective, device)
        self.accelerator.register_save_state_pre_hook(lambda models, weights, folder: self._save_state(Path(folder)))
        self.accelerator.register_load_state_pre_hook(lambda models, folder: self._load_state(Path(folder)))
        self.profile = self._profile() if config.profile else None
        if self.resume_from:
            self._load_checkpoint(self.resume_from)

    # ---- one step -------------------------------------------------------------------------------------------------

    def train_step(self, batch: Batch) -> dict[str, Tensor]:
        """One forward and backward pass of all networks, and the update in the last pass of a step.

        Returns:
            The weighted losses of both sides by name.
        """
        scene = self.game.play(batch)
        against = self.game.discriminator_terms(scene, self.step)
        self.updates.backward(against)
        inner = scene.inside(self.config.loss_margin)
        with self.accelerator.autocast():
            terms = self.objective(inner.fake_painting, inner.batch.photo, batch.style_weights, self.step)
            terms |= self.game.generator_terms(scene, self.step)
        self.updates.backward(terms)
        self.updates.apply(self.step + 1, self._kept())
        if self.accelerator.sync_gradients:
            for scheduler in self.schedulers:
                scheduler.step()
            self.ema.step(self.bare.generator.parameters())
        return against | terms

    def _kept(self) -> str:
        whole = list_checkpoints(self.checkpoints)
        return f"the last good checkpoint is {whole[-1]}" if whole else "there is no checkpoint yet"

    # ---- the loop -------------------------------------------------------------------------------------------------

    def train(self) -> Path:
        """Train to the last step; returns the folder of the pack."""
        config = self.config
        self.publisher = open_publisher(config, self.accelerator)
        self.log = LossLog(self.accelerator, self.output, config_to_dict(config), self.step, self.resume_from)
        self._report_start()
        sums: dict[str, Tensor] = {}
        with self._progress_bar() as bar:
            batches = self.batches.after(self.step)
            for batch in self.profile.each("pictures", batches) if self.profile else batches:
                with self.accelerator.accumulate(*self.networks.all):
                    terms = self.train_step(batch)
                self._report_skipped(batch.skipped)
                share = 1 / config.gradient_accumulation_steps
                sums = {name: sums.get(name, 0) + share * value.detach() for name, value in terms.items()}
                if self.accelerator.sync_gradients:
                    self.step += 1
                    bar.update()
                    self._after_step(sums)
                    sums = {}
        if self.step and self.saved != self.step:
            self.save_checkpoint()
        pack = self.save_pack()
        if self.profile and self.accelerator.is_main_process:
            tqdm.write(self.profile.report())
        self._training_ended(pack)
        return pack

    def _progress_bar(self) -> tqdm:
        hidden = not self.accelerator.is_main_process
        return tqdm(total=self.config.steps, initial=self.step, unit="step", disable=hidden)

    def _report_start(self) -> None:
        sources = {f"photos in {name}": source for name, source in zip(self.config.photos, self.photos, strict=True)}
        sources |= {f"paintings of {name}": source for name, source in self.paintings.items()}
        if self.accelerator.is_main_process:
            for line in start_summary(self.config, self.accelerator, self.bare, sources, self.step):
                tqdm.write(line)
            for warning in warnings(self.config, self.accelerator):
                tqdm.write(f"warning: {warning}")

    def _after_step(self, losses: Mapping[str, Tensor]) -> None:
        config, measured = self.config, self.watch.best.scores
        if self.step % config.log_every == 0 or self.step == config.steps:
            line = self.log.write(self.step, losses, learning_rate=self.schedulers[0].get_last_lr()[0])
            if self.accelerator.is_main_process:
                self.watch.losses(self.step, line)
        due = self.step % config.sample_every == 0 or (self.step == config.steps and measured)
        if due and self.accelerator.is_main_process:
            self.log.samples(self.step, self.watch.look(self.step, self._averaged))
        # While updates are left out the weights may be spoilt: the checkpoint before them stays the newest.
        if self.step % config.checkpoint_every == 0 and not self.updates.left_out:
            self.save_checkpoint()
        # The pack of the last step is pushed at the end.
        due = config.push_every and self.step % config.push_every == 0 and self.step < config.steps
        if self.publisher and due:
            self.publisher.offer_pack(self._write_pack(), self._progress())

    def _training_ended(self, pack: Path) -> None:
        """Called once in every process, when the last checkpoint and the pack are written."""
        self.accelerator.end_training()
        if self.publisher:  # in the main process; the others need not wait for the Hub
            self.unpushed = self.publisher.finish(pack, list_checkpoints(self.checkpoints)[-1])

    # ---- building -------------------------------------------------------------------------------------------------

    def _build_networks(self) -> None:
        config, accelerator = self.config, self.accelerator
        networks = build_networks(config)
        if config.initialize_from:
            self._initialize(networks, resolve_pack(config.initialize_from))
        optimizers = [
            adam(config, networks.players, config.learning_rate),
            adam(config, networks.judges, config.discriminator_learning_rate),
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
        trained, discriminator = load_pack(pack), load_discriminator(pack)
        initialize(networks.generator, trained)
        if discriminator and not initialize_discriminator(
            networks.discriminator, discriminator, self.config.style_titles, trained
        ):
            tqdm.write("The discriminator of --initialize-from has another size: a new one is trained.")

    def _pools(self) -> Pools:
        config, accelerator = self.config, self.accelerator
        return Pools(
            config.pool_size,
            batch_size=config.batch_size,
            passes=config.gradient_accumulation_steps,
            process=accelerator.process_index,
            processes=accelerator.num_processes,
            seed=config.seed,
        )

    def _profile(self) -> Profile:
        """Time the parts of a step from outside, so that the step itself stays readable."""
        cuda = self.accelerator.device.type == "cuda"
        profile = Profile(torch.cuda.synchronize if cuda else lambda: None)
        game, updates = self.game, self.updates
        game.play = profile.timed("painting", game.play)
        game.discriminator_terms = profile.timed("discriminator's losses", game.discriminator_terms)
        self.objective.forward = profile.timed("objective", self.objective.forward)
        game.generator_terms = profile.timed("generator's losses in other networks", game.generator_terms)
        updates.backward = profile.timed("backward passes", updates.backward)
        updates.apply = profile.timed("updates", updates.apply)
        self.watch.look = profile.timed("samples", self.watch.look)
        self.save_checkpoint = profile.timed("checkpoints", self.save_checkpoint)
        return profile

    # ---- data -----------------------------------------------------------------------------------------------------

    def _some_paintings(self, style: str, limit: int) -> Iterator[Tensor]:
        """At most `limit` whole paintings of a style (1, 3, H, W)."""
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

    # ---- checkpoints ----------------------------------------------------------------------------------------------

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

    def _save_state(self, folder: Path) -> None:
        """What Accelerate does not save by itself; called in every process."""
        self.game.save(folder)
        if self.accelerator.is_main_process:
            self.watch.best.save(folder)
            if self.log:
                self.log.save(folder)

    def _load_state(self, folder: Path) -> None:
        self.game.load(folder, self.accelerator.device)
        self.watch.best.load(folder)

    def _load_checkpoint(self, path: Path) -> None:
        progress = read_progress(path)
        check_same_networks(progress["config"], config_to_dict(self.config), path)
        self.accelerator.load_state(str(path))
        self.ema.to(self.accelerator.device)
        self.step = self.saved = progress["step"]
        self.clock = Clock(progress.get("seconds", 0))
        if self.batches.streamed:
            self.batches.position = read_position(path, self.accelerator, config_to_dict(self.config))

    # ---- the pack -------------------------------------------------------------------------------------------------

    @property
    def pack(self) -> Path:
        """Folder of this run's pack."""
        return self.output / "pack"

    def save_pack(self) -> Path:
        """Write the averaged generator as a style pack, main process only; returns its folder.

        Where an earlier average was better, that one is written beside it as pack-best.
        """
        if self.accelerator.is_main_process:
            self._write_pack()
            self.watch.save_best(self.output / "pack-best", self.step, self._averaged, **self._told())
        self.accelerator.wait_for_everyone()
        return self.pack

    def _write_pack(self) -> Path:
        self.watch.save_pack(self.pack, self._averaged, **self._told())
        return self.pack

    def _told(self) -> dict[str, Any]:
        """What a pack's card tells of its training."""
        datasets, processes = hub_datasets(self.config), self.accelerator.num_processes
        run = run_facts(self.accelerator.device, processes=processes, seconds=self.clock.seconds, datasets=datasets)
        if self.step < self.config.steps:
            run[PROGRESS] = self._progress()
        discriminator = self.bare.discriminator if self.config.pack_discriminator else None
        recipe, half = config_to_dict(self.config), self.config.pack_half
        return {"recipe": recipe, "run": run, "discriminator": discriminator, "half": half}

    def _progress(self) -> str:
        return f"step {self.step} of {self.config.steps}"

    def _averaged(self) -> Generator:
        bare = self.bare.generator
        averaged = Generator(**{name: bare.config[name] for name in ("styles", "channels", "blocks", "grain")})
        self.ema.copy_to(averaged.parameters())
        return averaged.eval().requires_grad_(False)


# ---- optimizers and their updates ------------------------------------------------------------------------------------


def adam(config: TrainingConfig, networks: Sequence[nn.Module], learning_rate: float) -> torch.optim.AdamW:
    """AdamW (Loshchilov 2019) of some networks; it is Adam where there is no weight decay."""
    parameters = [parameter for network in networks for parameter in network.parameters()]
    betas = (config.adam_beta1, config.adam_beta2)
    return torch.optim.AdamW(parameters, lr=learning_rate, betas=betas, weight_decay=config.adam_weight_decay)


def build_scheduler(config: TrainingConfig, optimizer: torch.optim.Optimizer) -> LRScheduler:
    """Warm-up and decay, stepped once per optimizer update. Raises InputError for a schedule diffusers lacks."""
    try:
        return get_scheduler(
            config.schedule, optimizer, num_warmup_steps=config.warmup_steps, num_training_steps=config.steps
        )
    except (ValueError, TypeError, AttributeError) as error:  # the last two: a schedule that needs further settings
        raise InputError(f"--schedule {config.schedule} cannot be used here: try cosine or linear.") from error


class Updates:
    """Backward passes and optimizer updates of both sides; an update with NaN or infinity is left out, and reported.

    Args:
        accelerator: of the run.
        sides: networks and their optimizer, all prepared; each network's gradient is clipped by itself.
        max_gradient_norm: where it is clipped.
    """

    def __init__(
        self,
        accelerator: Accelerator,
        sides: Sequence[tuple[Sequence[nn.Module], torch.optim.Optimizer]],
        max_gradient_norm: float,
    ) -> None:
        self.accelerator, self.sides, self.max_gradient_norm = accelerator, sides, max_gradient_norm
        self.left_out = 0  # updates in a row
        self._seen: list[dict[str, Tensor]] = []

    def backward(self, terms: Mapping[str, Tensor]) -> None:
        """Add the gradients of the sum of a pass's losses."""
        self._seen.append({name: value.detach() for name, value in terms.items()})
        total = sum(terms.values())
        # The backward pass of a ReLU can turn NaN into 0. The factor makes every gradient NaN, in every process, since
        # gradients are averaged over processes.
        poison = torch.where(total.detach().isfinite(), 1.0, math.nan)
        self.accelerator.backward(total * poison)

    def apply(self, step: int, kept: str) -> bool:
        """Update both sides in the last pass of a step; returns whether an update was made.

        Both at the end, so that every pass accumulated into a step meets the same discriminator.

        Args:
            step: the number of this step, for messages.
            kept: the checkpoint to continue from, for messages.

        Raises:
            TrainingError: several updates in a row had to be left out.
        """
        if not self.accelerator.sync_gradients:
            return False
        norms = [norm for networks, optimizer in self.sides for norm in self._clip(networks, optimizer)]
        healthy = bool(torch.stack(norms).isfinite().all())
        for _, optimizer in self.sides:
            if healthy or self.accelerator.scaler is not None:  # the scaler checks by itself, and lowers its scale
                optimizer.step()
            optimizer.zero_grad()  # after the step, not before the pass: it must not clear what is being accumulated
        self.left_out = 0 if healthy else self.left_out + 1
        if not healthy:
            self._report(step, kept)
        self._seen.clear()
        return healthy

    def _clip(self, networks: Sequence[nn.Module], optimizer: torch.optim.Optimizer) -> list[Tensor]:
        self.accelerator.unscale_gradients(optimizer)  # clip_grad_norm_ of Accelerate would unscale both sides
        return [nn.utils.clip_grad_norm_(network.parameters(), self.max_gradient_norm) for network in networks]

    def _report(self, step: int, kept: str) -> None:
        bad = [name for terms in self._seen for name, value in terms.items() if not value.isfinite()]
        what = f"The loss {bad[0]}" if bad else "A gradient"
        if self.left_out >= (PATIENCE if self.accelerator.scaler is None else PATIENCE_FP16):
            raise TrainingError(
                f"{what} has been NaN or infinite since step {step - self.left_out + 1}; {kept}: "
                "continue from there with a lower learning rate."
            )
        if self.accelerator.is_main_process:
            tqdm.write(f"step {step}: {what[0].lower()}{what[1:]} is NaN or infinite; this update is left out.")
