"""A style of one's own from one painting: `learn_style` is all of it in one call, `Learner` the same step by step."""

import copy
import math
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from styletransfer.errors import InputError, Sentence
from styletransfer.images.files import Picture, Source, load_picture
from styletransfer.learning.fit import Fit, crop_score, cropper_of
from styletransfer.learning.paintings import prepare_painting
from styletransfer.learning.recipe import NetworkWeights, build_objective, learning_config, scaled_painting
from styletransfer.learning.start import Base, likely_bases, named_base, nearest
from styletransfer.models.generator import Generator
from styletransfer.packs.contents import (
    BASE,
    COMMAND,
    CONFIG,
    MAX_TITLE,
    RUN,
    is_style_name,
    is_title,
    read_json,
)
from styletransfer.packs.folder import save_pack
from styletransfer.packs.provenance import run_facts
from styletransfer.painter import place_of
from styletransfer.paths import EXAMPLES
from styletransfer.pipeline import StyleTransferPipeline
from styletransfer.samples import pack_samples
from styletransfer.training.config import config_to_dict

FIRST_LOOK = 8.0  # seconds after which there is a first picture
LATER_LOOKS = 1.5  # times as long until each further one
SCORED_CROPS = 2  # of photos, always the same, by which networks are compared


@dataclass(frozen=True)
class Moment:
    """How far a style is."""

    seconds: float  # since the learner began
    done: float  # share of the time that is behind, 0 to 1
    steps: int
    is_better: bool  # whether what `Learner.best` returns has become better just now


class Learner:
    """Learns one painting, better the longer it is let; what there is so far is a style at any moment.

    Args:
        painting: a picture, opened or not.
        name: of the style: lower-case letters, digits and dashes.
        title: for people; None: made from the name.
        base: a style that ships, a pack's folder, or org/name[@revision] on the Hub, to start from; None: the nearest
            style that ships.
        photos: to learn on; none: those that ship.
        weights: of the networks that look at pictures.
        device: where to learn; the fastest one there is when None.
        seed: of the crops.

    Raises:
        InputError: what was given cannot be used.
    """

    def __init__(
        self,
        painting: Source | Picture,
        *,
        name: str = "mine",
        title: str | None = None,
        base: str | None = None,
        photos: Sequence[Source] = (),
        weights: NetworkWeights | None = None,
        device: str | torch.device | None = None,
        seed: int = 0,
    ) -> None:
        self.began = time.monotonic()
        self.name, self.title = name, checked_title(name, title)
        prepared = painting if isinstance(painting, Picture) else prepare_painting(painting)
        self.notes: tuple[Sentence, ...] = prepared.notes
        self.painting = painting.name if isinstance(painting, Path) else Path(str(painting)).name[:80]
        self.device, _ = place_of(device)
        self.config = learning_config([name], weights or NetworkWeights(), seed=seed)
        self.photos = [load_picture(photo).rgb for photo in photos or shipped_photos()]
        bases = [named_base(base)] if base else likely_bases()
        self.objective = build_objective(self.config, {name: scaled_painting(self.config, prepared.rgb)}, self.device)
        self.base: Base = bases[0] if base else nearest(bases, self.objective, self.photos, self.device)
        start = self.base.generator(name, self.title)
        self.fit = Fit(start, self.objective, self.photos, device=self.device)
        cropper = cropper_of(replace(self.config, seed=seed + 1))
        self._crops = [
            cropper.cut_photo(number, self.photos[number % len(self.photos)]).to(self.device)
            for number in range(SCORED_CROPS)
        ]
        self._best: Generator | None = None
        self._looked_at = -1

    def learn(self, seconds: float, steps: int | None = None) -> Iterator[Moment]:
        """Learn until the time is over; yields after each step, and whoever stops asking stops the learning.

        Args:
            seconds: since this object was made; `math.inf` with `steps`.
            steps: that are learned at most; None: as many as there is time for. Steps alone, without looks in between
                that the clock would decide on, give the same style each time.
        """
        look_at = math.inf if math.isinf(seconds) else FIRST_LOOK
        while True:
            passed = time.monotonic() - self.began
            done = max(passed / seconds, self.fit.steps / steps if steps else 0.0)
            if done >= 1 and self.fit.steps:
                break
            self.fit.step(min(done, 1.0))
            passed = time.monotonic() - self.began
            is_due = passed >= look_at
            better = is_due and self._look()
            if is_due:
                look_at = LATER_LOOKS * (time.monotonic() - self.began)
            yield Moment(passed, min(1.0, done), self.fit.steps, better)
        better = self._look()
        yield Moment(time.monotonic() - self.began, 1.0, self.fit.steps, better)

    def best(self) -> Generator:
        """The best network so far, for use."""
        if self._looked_at != self.fit.steps:
            self._look()
        return self._best

    def pipeline(self) -> StyleTransferPipeline:
        """Paints in the style as it is so far."""
        return StyleTransferPipeline(copy.deepcopy(self.best()), device=self.device)  # which changes its network

    def save(self, folder: str | Path) -> None:
        """Write the style as it is so far as a pack, whole or not at all; one of an earlier moment is replaced.

        Raises:
            InputError: something else lies in the folder, or it cannot be written.
        """
        folder = Path(folder)
        check_output(folder)
        generator = self.best()
        photo = self.photos[0]
        run = run_facts(self.device, processes=1, seconds=time.monotonic() - self.began, datasets=[])
        run |= {BASE: str(self.base), "steps": str(self.fit.steps), COMMAND: self._command()}
        recipe = config_to_dict(self.config) | {"steps": self.fit.steps, "style": [f"{self.name}={self.painting}"]}
        samples = pack_samples(self.pipeline(), photo)
        save_pack(folder, generator, samples=samples, recipe=recipe, run=run, half=True)

    def _command(self) -> str:
        base = self.base.style or self.base.pack
        seconds = time.monotonic() - self.began
        return f"python -m styletransfer learn PAINTING --base {base} --minutes {seconds / 60:.1f} -o {self.name}"

    def _look(self) -> bool:
        """Compare the style as it is with the best one so far; returns whether it is better."""
        now = self.fit.averaged()
        self._looked_at = self.fit.steps
        # Both anew: the weight of content moves, and a score of before is in other units.
        if self._best is not None and not self._score(now) < self._score(self._best):
            return False
        self._best = now.cpu()
        return True

    def _score(self, generator: Generator) -> float:
        generator, factor = generator.to(self.device), self.fit.budget.factor
        return sum(crop_score(generator, self.objective, crop, factor) for crop in self._crops) / len(self._crops)


def learn_style(
    painting: Source,
    output: str | Path | None = None,
    *,
    minutes: float = 1.0,
    on_moment: Callable[[Moment, Learner], object] | None = None,
    **settings: object,
) -> StyleTransferPipeline:
    """Learn a painting and return the pipeline that paints like it.

        learn_style("painting.jpg", "styles/mine", minutes=1)("photo.jpg", style="mine").save("painting.png")

    Args:
        painting: a picture, opened or not.
        output: the folder of the pack, written at the end; None: no pack is written.
        minutes: how long it may take.
        on_moment: called after each step; where it returns False, learning stops and what there is is kept.
        settings: as for `Learner`.

    Raises:
        InputError: what was given cannot be used.
    """
    seconds = checked_minutes(minutes) * 60
    if output is not None:
        check_output(Path(output))
    learner = Learner(painting, **settings)
    for moment in learner.learn(seconds):
        if on_moment and on_moment(moment, learner) is False:
            break
    if output is not None:
        learner.save(output)
    return learner.pipeline()


def shipped_photos() -> list[Path]:
    """The photos that ship. Raises InputError where there are none."""
    found = sorted(EXAMPLES.glob("*.jpg"))
    if not found:
        raise InputError("There are no photos to learn on: name some with --photos.")
    return found


def checked_minutes(minutes: float) -> float:
    """Raises InputError for a time that is too short, or none at all."""
    if not 0.1 <= minutes <= 24 * 60:  # NaN is not
        raise InputError("Learning takes 0.1 to 1440 minutes, not {minutes}.", minutes=f"{minutes:g}")
    return minutes


def checked_title(name: str, title: str | None) -> str:
    """The title of a style, made from its name where there is none; raises InputError where no pack could have it."""
    if not is_style_name(name):
        raise InputError(
            "A style cannot be named {name}: use lower-case letters, digits and dashes, at most 64.", name=repr(name)
        )
    title = title or name.replace("-", " ").title()
    if not is_title(title):
        raise InputError("The title must be one line of at most {most} characters.", most=MAX_TITLE)
    return title


def check_output(folder: Path) -> None:
    """Check before minutes of work that a pack can be written there, and that nothing else is lost by it.

    Raises:
        InputError: it cannot, or it would be.
    """
    if folder.exists():
        is_learned = (folder / CONFIG).is_file() and BASE in read_json(folder, RUN)
        is_empty = folder.is_dir() and not any(folder.iterdir())
        if not is_learned and not is_empty:
            raise InputError("{folder} is there already, and no style that was learned: name another.", folder=folder)
    above = next(path for path in folder.absolute().parents if path.exists())
    if not above.is_dir() or not os.access(above, os.W_OK):
        raise InputError("The pack {pack} cannot be written: {reason}.", pack=folder, reason=f"{above} is closed")
