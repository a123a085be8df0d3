"""A network with fewer residual blocks learns to paint what the whole network paints: the same pictures in less time.

Some blocks are left out, and what is left is shown photos and what the teacher made of them (Hinton 2015, with pictures
in place of probabilities). No painting is needed, nor what the teacher learned from: its paintings are the target. A
style that was learned by many blocks is kept by few, see docs/brushwork.md for what it costs.
"""

import copy
import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from torch import Tensor

from styletransfer.data.crops import Cropper
from styletransfer.errors import InputError
from styletransfer.images.files import load_picture
from styletransfer.learning.fit import drawn, in_fastest, updated
from styletransfer.models.features import Features
from styletransfer.models.generator import Generator
from styletransfer.packs.contents import RECIPE, RUN, read_json
from styletransfer.packs.folder import save_pack
from styletransfer.packs.provenance import duration, versions
from styletransfer.painter import fastest_dtype, fastest_format
from styletransfer.pipeline import StyleTransferPipeline
from styletransfer.samples import pack_samples

CROP_SIZE = 256  # pixels
PHOTO_SCALE = (1.2, 1.8)  # short side of a photo in crops
LAYERS = ("relu1", "fire3", "fire5", "fire6", "fire7", "fire9")  # of SqueezeNet 1.1, in which paintings are compared
LEARNING_RATE = 1e-3
WARMUP = 30  # steps in which the learning rate rises
STEADY = 0.4  # share of the steps after which it falls
PHOTO = 11  # stream of random numbers: which photo, and where its grain is


class Distillation:
    """A student on its way to paint as its teacher does.

    Args:
        teacher: in float32; it is not changed.
        blocks: residual blocks that the student keeps, fewer than the teacher has.
        photos: files, of which crops are painted.
        features: by which paintings are compared besides their pixels; None: by pixels alone.
        begun: a student from an earlier distillation, to go on with.
        device: where to learn; the processor when None.
        seed: of the crops.

    Raises:
        InputError: the teacher has no more blocks than that, or the student that has begun is no student of it.
    """

    def __init__(
        self,
        teacher: Generator,
        blocks: int,
        photos: Sequence[Path],
        features: Features | None = None,
        *,
        begun: Generator | None = None,
        device: torch.device | None = None,
        seed: int = 0,
    ) -> None:
        self.device = device or torch.device("cpu")
        student = with_fewer_blocks(teacher, blocks)
        if begun is not None:
            take_over(student, begun)
        self.student = student.train().requires_grad_(True)
        self.student.to(self.device, memory_format=fastest_format(self.device))
        self.teacher = copy.deepcopy(teacher).to(self.device).eval().requires_grad_(False)
        self.teacher.convolve_in(fastest_dtype(self.device))
        self.photos, self.steps = list(photos), 0
        self.features = features and features.to(self.device)
        self.cropper = Cropper(CROP_SIZE, PHOTO_SCALE, CROP_SIZE, seed)
        self.optimizer = torch.optim.Adam(self.student.parameters(), betas=(0.5, 0.99))

    def step(self, done: float) -> dict[str, float]:
        """One update; returns the losses by name.

        Args:
            done: share of the steps that is behind, 0 to 1: the learning rate falls with it.
        """
        photo, corner = self._crop()
        style = photo.new_zeros(1, len(self.student.styles))
        style[0, self.steps % style.shape[1]] = 1.0
        with torch.no_grad():
            wanted = self.teacher(photo, style, corner=corner)
        with in_fastest(self.device):
            terms = self._differences(self.student(photo, style, corner=corner), wanted)
        sum(terms.values()).backward()
        rate = LEARNING_RATE * min(1.0, (self.steps + 1) / WARMUP) * _fallen(done)
        updated(self.optimizer, list(self.student.parameters()), rate)
        self.steps += 1
        return {name: value.item() for name, value in terms.items()}

    def learn(self, steps: int) -> Iterator[dict[str, float]]:
        """The losses of each of so many steps."""
        for number in range(steps):
            yield self.step(number / steps)

    def learned(self) -> Generator:
        """The student, for use."""
        return copy.deepcopy(self.student).cpu().eval().requires_grad_(False)

    def _differences(self, painted: Tensor, wanted: Tensor) -> dict[str, Tensor]:
        """How far a painting is from the teacher's: its pixels, its features, and how much each feature varies.

        The last keeps faint strokes, which a difference place by place averages out.
        """
        terms = {"pixels": (painted.float() - wanted).abs().mean()}
        if self.features is None:
            return terms
        with torch.no_grad():
            targets = [layer.float() for layer in self.features(wanted)]
        pairs = zip(self.features(painted), targets, strict=True)
        each = [
            (_apart(layer.float(), target), _apart(_spread(layer.float()), _spread(target))) for layer, target in pairs
        ]
        places, spreads = (sum(values) / len(values) for values in zip(*each, strict=True))
        return terms | {"features": places, "texture": spreads}

    def _crop(self) -> tuple[Tensor, Tensor]:
        """A crop (1, 3, c, c) of some photo, and the place that its grain is taken from."""
        number, corner = drawn(self.cropper, PHOTO, self.steps, len(self.photos))
        photo = load_picture(self.photos[number]).rgb
        return self.cropper.cut_photo(self.steps, photo).to(self.device), corner.to(self.device)


def save_distilled(folder: Path, pack: Path, distillation: Distillation, seconds: float) -> None:
    """Write the student as a pack, whole or not at all, with the recipe and the facts of its teacher's.

    Args:
        folder: of the pack, new or empty.
        pack: of the teacher.
        distillation: with its student.
        seconds: that it took.

    Raises:
        InputError: it cannot be written.
    """
    run = {key: value for key, value in read_json(pack, RUN).items() if key not in versions()}
    before, after = (network.config["blocks"] for network in (distillation.teacher, distillation.student))
    steps, time = distillation.steps, duration(seconds)
    run["distilled"] = f"{before} residual blocks to {after}, {steps} steps, {time}"
    generator = distillation.learned()
    pipeline = StyleTransferPipeline(copy.deepcopy(generator), device=distillation.device)  # which changes its network
    samples = pack_samples(pipeline, load_picture(distillation.photos[0]).rgb)
    save_pack(folder, generator, samples=samples, recipe=read_json(pack, RECIPE), run=run, half=True)


def with_fewer_blocks(generator: Generator, blocks: int) -> Generator:
    """A generator with some of another's residual blocks, evenly spread, the first one among them.

    Raises:
        InputError: the other one has no more than that.
    """
    there = generator.config["blocks"]
    if not 0 < blocks < there:
        raise InputError(f"The network has {there} residual blocks: keep fewer, from 1 on, not {blocks}.")
    kept = [-(-there * number // blocks) for number in range(blocks)]
    layers = {2 * old + half: 2 * new + half for new, old in enumerate(kept) for half in range(2)}
    state = {}
    for key, value in generator.state_dict().items():
        room, _, rest = key.partition(".")
        if room == "body":
            layer, _, rest = rest.partition(".")
            if int(layer) not in layers:
                continue
            key = f"body.{layers[int(layer)]}.{rest}"
        state[key] = value
    sizes = {name: generator.config[name] for name in ("channels", "grain")}
    student = Generator(generator.styles, blocks=blocks, **sizes)
    student.load_state_dict(state)
    return student


def take_over(student: Generator, begun: Generator) -> None:
    """Give a student the weights of one that has begun. Raises InputError where it has other sizes or styles."""
    for name in ("styles", "channels", "blocks", "grain"):
        if begun.config[name] != student.config[name]:
            found, wanted = begun.config[name], student.config[name]
            raise InputError(f"The student that has begun has {name} {found}, and {wanted} are needed.")
    student.load_state_dict(begun.state_dict())


def _apart(one: Tensor, wanted: Tensor) -> Tensor:
    """The squared difference in units of what is wanted."""
    return (one - wanted).square().mean() / wanted.square().mean()


def _spread(features: Tensor) -> Tensor:
    """The deviation of each channel over the picture, (N, C)."""
    return (features.flatten(2).var(dim=2) + 1e-6).sqrt()


def _fallen(done: float) -> float:
    """The learning rate as a share of its peak: steady, then along half a cosine to 0."""
    return 0.5 * (1 + math.cos(math.pi * max(0.0, done - STEADY) / (1 - STEADY)))
