"""One network learns one painting: a trained network goes on with the project's objective, as long as the clock allows.

No discriminator: in minutes it learns less than it costs. What the weights are at any moment is already a style, so
whoever stops early keeps what there is.
"""

import math
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager

import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn.utils import parametrize

from styletransfer.data.crops import Cropper
from styletransfer.learning.budget import ContentBudget
from styletransfer.learning.recipe import CONTENT_ALLOWED
from styletransfer.learning.variation import varied
from styletransfer.models import losses
from styletransfer.models.generator import GRAIN_SIDE, Generator, Share, blended
from styletransfer.painter import fastest_dtype, fastest_format
from styletransfer.training.config import TrainingConfig
from styletransfer.training.objective import Objective, without_border

WARMUP = 10  # steps in which the learning rate rises: Adam's first steps are as large as all others
MAX_GRADIENT_NORM = 10.0
AVERAGED = 0.1  # share of the steps so far that the average of the weights goes back
LONGEST_AVERAGE = 100  # steps
# What moves -> the learning rate that paints best, see docs/own-painting.md.
LEARNING_RATES = {"all": 2e-3, "styles": 2e-2, "low-rank": 5e-3}
RANK = 4
STROKES_FIRST = 0.3  # share of the time in which the weight of content is the recipe's
PHOTO, VARIATION = 7, 8  # streams of random numbers: which photo, and where its grain is; what becomes of it
SCORED = -2  # the step whose random numbers are used to compare networks


class Fit:
    """A generator on its way to one painting.

    Args:
        start: whose weights it starts from, with the one style that is learned; it is changed.
        objective: with the painting as its style.
        photos: "RGB", to cut crops from.
        way: which weights move: "all", "styles" (scales and shifts alone, Dumoulin 2017) or "low-rank" (these, and an
            update of low rank for each convolution, Hu 2022).
        learning_rate: at its peak; None: the best for the way.
        device: where to learn.
    """

    def __init__(
        self,
        start: Generator,
        objective: Objective,
        photos: Sequence[Image.Image],
        *,
        way: str = "all",
        learning_rate: float | None = None,
        device: torch.device | None = None,
    ) -> None:
        self.device = device or torch.device("cpu")
        self.generator = start.to(self.device, memory_format=fastest_format(self.device)).train().requires_grad_(True)
        self.objective, self.photos, self.config = objective, list(photos), objective.config
        self.learning_rate = learning_rate or LEARNING_RATES[way]
        self.moving = move(self.generator, way)
        self.optimizer = torch.optim.Adam(self.moving, lr=self.learning_rate, betas=(0.5, 0.99))
        self.cropper = cropper_of(self.config)
        self.budget = ContentBudget(CONTENT_ALLOWED[self.config.lpips_weights is not None])
        self.steps = self.skipped = 0
        self._average = [weight.detach().clone() for weight in self.moving]

    def step(self, done: float) -> dict[str, float]:
        """One update; returns the weighted losses by name.

        Args:
            done: share of the time that is behind, 0 to 1: the learning rate falls with it, and content counts more.
        """
        photo, corner = self._crop()
        style = photo.new_ones(1, 1)
        with in_fastest(self.device):
            fake_painting = self.generator(photo, style, corner=corner)
            inner, inner_photo = (without_border(x, self.config.loss_margin) for x in (fake_painting, photo))
            terms = self.objective(inner, inner_photo, style, self.steps, done=done, content_factor=self.budget.factor)
            terms["border"] = self.config.border_weight * losses.border_loss(fake_painting, photo)
        sum(terms.values()).backward()
        self._update(done)
        losses_by_name = {name: value.item() for name, value in terms.items()}
        self._follow_content(losses_by_name.get("content"), done)
        return losses_by_name

    def _follow_content(self, content: float | None, done: float) -> None:
        """Let the weight of content follow the distance, once strokes had their time."""
        if content is not None and done >= STROKES_FIRST:
            self.budget.follow(content / (self.budget.factor * self.objective.content_weight(done)))

    def averaged(self) -> Generator:
        """The style as it is: the mean of the last weights, in float32, for use."""
        with torch.no_grad():
            kept = [weight.detach().clone() for weight in self.moving]
            self._put(self._average)
            state = plain_state(self.generator)
            self._put(kept)
        sizes = {name: self.generator.config[name] for name in ("channels", "blocks", "grain")}
        found = Generator(self.generator.styles, **sizes)
        found.load_state_dict(state)
        return found.eval().requires_grad_(False)

    def _crop(self) -> tuple[Tensor, Tensor]:
        """A crop (1, 3, c, c) of the next photo, as from elsewhere, and the place that its grain is taken from."""
        number, corner = drawn(self.cropper, PHOTO, self.steps, len(self.photos))
        crop = self.cropper.cut_photo(self.steps, self.photos[number])
        variation = self.cropper.random(VARIATION, self.steps)
        return varied(crop, variation).to(self.device), corner.to(self.device)

    def _update(self, done: float) -> None:
        rate = self.learning_rate * min(1.0, (self.steps + 1) / WARMUP) * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))
        self.skipped += not updated(self.optimizer, self.moving, rate)
        self.steps += 1
        share = 1 / min(LONGEST_AVERAGE, 1 + AVERAGED * self.steps)
        with torch.no_grad():
            for average, weight in zip(self._average, self.moving, strict=True):
                average.lerp_(weight, share)

    def _put(self, values: Iterable[Tensor]) -> None:
        for weight, value in zip(self.moving, values, strict=True):
            weight.data.copy_(value)


def updated(optimizer: torch.optim.Optimizer, weights: Sequence[nn.Parameter], rate: float) -> bool:
    """Update weights by their gradients at that learning rate, and say so; what is no number leaves it out."""
    for group in optimizer.param_groups:
        group["lr"] = rate
    is_number = bool(nn.utils.clip_grad_norm_(weights, MAX_GRADIENT_NORM).isfinite())
    if is_number:
        optimizer.step()
    optimizer.zero_grad()
    return is_number


def drawn(cropper: Cropper, stream: int, step: int, photos: int) -> tuple[int, Tensor]:
    """Which of so many photos a step looks at, and the place (1, 2) that its grain is taken from."""
    source = cropper.random(stream, step)
    return int(source.integers(photos)), torch.from_numpy(source.integers(GRAIN_SIDE, size=(1, 2)))


@torch.no_grad()
def crop_score(generator: Generator, objective: Objective, crop: Tensor, content_factor: float = 1.0) -> float:
    """What the objective says, at the end of a run, of a painting of a crop (1, 3, c, c): lower is better."""
    style, margin = crop.new_ones(1, 1), objective.config.loss_margin
    with in_fastest(crop.device):
        painted = generator(crop, style)
        pictures = (without_border(x, margin) for x in (painted, crop))
        terms = objective(*pictures, style, step=SCORED, done=1.0, content_factor=content_factor)
    return float(sum(terms.values()))


def in_fastest(device: torch.device) -> AbstractContextManager:
    """bfloat16 where the hardware multiplies it natively."""
    kind = fastest_dtype(device)
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=kind == torch.bfloat16)


def cropper_of(config: TrainingConfig) -> Cropper:
    """How crops of photos are cut for this objective."""
    return Cropper(config.crop_size, config.photo_scale, config.painting_size, config.seed)


def start_from(shares: Sequence[Share], name: str, title: str) -> Generator:
    """A generator of one style, from one network or from the mean of several of one family.

    Args:
        shares: of what it is made, see `blended`.
        name, title: of the style.

    Raises:
        ValueError: the networks were trained apart.
    """
    blend, total = blended(shares), sum(share.weight for share in shares)
    weights = torch.tensor([[share.weight / total for share in shares]])
    state = {
        key: weights @ value if key.endswith((".scale", ".shift")) else value
        for key, value in blend.state_dict().items()
    }
    found = Generator({name: title}, **{size: blend.config[size] for size in ("channels", "blocks", "grain")})
    found.load_state_dict(state)
    return found


# ---- what moves ------------------------------------------------------------------------------------------------------


class LowRank(nn.Module):
    """A weight plus the product of two thin matrices, which begins at 0 (LoRA, Hu 2022, section 4.1)."""

    def __init__(self, weight: Tensor, rank: int) -> None:
        super().__init__()
        out, inside = weight.flatten(1).shape
        source = torch.Generator().manual_seed(out * inside)
        self.down = nn.Parameter((torch.randn(rank, inside, generator=source) / math.sqrt(inside)).to(weight.device))
        self.up = nn.Parameter(torch.zeros(out, rank, device=weight.device))

    def forward(self, weight: Tensor) -> Tensor:
        """The weight of a convolution, updated."""
        return weight + (self.up @ self.down).view_as(weight)


def move(generator: Generator, way: str) -> list[nn.Parameter]:
    """Let some weights of a generator be learned, and no others; returns them."""
    if way == "all":
        return list(generator.parameters())
    generator.requires_grad_(False)
    moving = [value for name, value in generator.named_parameters() if name.endswith((".scale", ".shift"))]
    if way == "low-rank":
        for conv in [module for module in generator.modules() if isinstance(module, nn.Conv2d)]:
            low_rank = LowRank(conv.weight, RANK)
            parametrize.register_parametrization(conv, "weight", low_rank)
            conv.parametrizations.weight.original.requires_grad_(False)
            moving += list(low_rank.parameters())
    for value in moving:
        value.requires_grad_(True)
    return moving


def plain_state(generator: Generator) -> dict[str, Tensor]:
    """The weights by their usual names, updates of low rank added in."""
    state = {}
    for name, value in generator.state_dict().items():
        if ".parametrizations." not in name:
            state[name] = value.detach().clone()
    for name, module in generator.named_modules():
        if isinstance(module, nn.Conv2d) and parametrize.is_parametrized(module):
            state[f"{name}.weight"] = module.weight.detach().clone()
    return state
