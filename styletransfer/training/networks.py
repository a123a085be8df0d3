"""The networks of a training: the generator, which is published, and those that only serve to train it."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from styletransfer.errors import InputError
from styletransfer.models.discriminator import (
    DISCRIMINATOR_BOUNDS,
    UNDECIDED,
    Discriminator,
    FeatureDiscriminator,
)
from styletransfer.models.features import Features
from styletransfer.models.generator import STRIDE, Generator
from styletransfer.training.config import TrainingConfig


@dataclass
class Networks:
    """The networks that are trained; None where the objective does not use one."""

    generator: nn.Module  # photo -> painting
    discriminator: nn.Module  # is this a painting?
    head: nn.Module | None = None  # feature vectors -> unit vectors, for PatchNCE
    photo_generator: nn.Module | None = None  # painting and its style -> photo, for cycles
    photo_discriminator: nn.Module | None = None  # is this a photo?

    @property
    def players(self) -> list[nn.Module]:
        """The generator and those that learn with it."""
        return [network for network in (self.generator, self.head, self.photo_generator) if network is not None]

    @property
    def judges(self) -> list[nn.Module]:
        """The discriminators."""
        return [network for network in (self.discriminator, self.photo_discriminator) if network is not None]

    @property
    def all(self) -> list[nn.Module]:
        """Every network, the generator and the discriminator first."""
        return [self.generator, self.discriminator, *self.players[1:], *self.judges[1:]]

    def map(self, change: Callable[[nn.Module], nn.Module]) -> "Networks":
        """The networks after `change` of each."""
        found = {field.name: getattr(self, field.name) for field in fields(self)}
        return Networks(**{name: None if network is None else change(network) for name, network in found.items()})


def has_head(config: TrainingConfig) -> bool:
    """Whether the objective uses PatchNCE."""
    return bool(config.contrastive_weight or config.contrastive_identity_weight)


def build_networks(config: TrainingConfig) -> Networks:
    """Untrained networks, those that the losses with a weight need."""
    sizes = {"channels": config.channels, "blocks": config.blocks, "grain": config.grain}
    networks = Networks(
        Generator(styles=config.style_titles, **sizes),
        _discriminator(config, len(config.style_sources)),
    )
    if has_head(config):
        widths = [config.channels if layer else 3 * STRIDE**2 for layer in config.contrastive_layers]
        networks.head = PatchHead(widths, config.contrastive_channels)
    if config.cycle_weight:
        networks.photo_generator = Generator(styles=config.style_titles, **sizes)
        networks.photo_discriminator = _discriminator(config, 1)
    for generator in filter(None, (networks.generator, networks.photo_generator)):
        if config.gradient_checkpointing:
            checkpoint_blocks(generator)
        if config.compile:
            generator.compile(dynamic=False)  # once per size: a step has two, and torch 2.15 fails on open ones
    return networks.map(lambda network: network.to(memory_format=torch.channels_last))


def _discriminator(config: TrainingConfig, styles: int) -> nn.Module:
    """An untrained discriminator of pixels, or of what the network of style sees."""
    if config.discriminator_input == "features":
        features = Features(config.style_network, config.style_layers, config.style_network_weights)
        return FeatureDiscriminator(styles, features, features.widths)
    return Discriminator(
        styles,
        channels=config.discriminator_channels,
        resolutions=config.discriminator_scales,
        spectral_norm=config.spectral_norm,
        undecided=UNDECIDED.get(config.adversarial, 0.0),
    )


def checkpoint_blocks(generator: Generator) -> None:
    """Have the layers of the residual blocks keep their inputs only, and run again in the backward pass (Chen 2016)."""
    for layer in generator.body:
        layer.forward = partial(checkpoint, layer.forward, use_reentrant=False)


# ---- starting from trained ones --------------------------------------------------------------------------------------


def initialize(generator: Generator, trained: Generator) -> None:
    """Copy the weights of a trained generator; a style that it lacks starts from the mean of its styles.

    Raises InputError when the sizes differ.
    """
    for name in ("channels", "blocks"):
        if generator.config[name] != trained.config[name]:
            raise InputError(
                f"--initialize-from has {name} {trained.config[name]}: use --{name} {trained.config[name]}."
            )
    state = trained.state_dict()
    per_style = [key for key in state if key.endswith((".scale", ".shift"))]
    generator.load_state_dict(_restyled(state, per_style, trained.styles, generator.styles))


def initialize_discriminator(
    discriminator: nn.Module, trained: Discriminator, styles: Iterable[str], pack: Generator
) -> bool:
    """Copy the weights of a trained discriminator, as `initialize`; False, and nothing copied, where the kinds differ.

    Args:
        discriminator: of `styles`, in that order.
        trained: of the styles of `pack`.
        styles: by name.
        pack: the generator it was trained with.
    """
    sizes = (*DISCRIMINATOR_BOUNDS, "spectral_norm", "undecided")
    if not isinstance(discriminator, Discriminator):
        return False
    if any(discriminator.config[name] != trained.config[name] for name in sizes):
        return False
    discriminator.load_state_dict(_restyled(trained.state_dict(), trained.rows_per_style(), pack.styles, styles))
    return True


def _restyled(
    state: dict[str, Tensor], per_style: Iterable[str], known: Iterable[str], wanted: Iterable[str]
) -> dict[str, Tensor]:
    """The state with one row for each wanted style: its own where it is known, else the mean of all."""
    rows = {name: row for row, name in enumerate(known)}
    for key in per_style:
        value, mean = state[key], state[key].mean(dim=0)
        state[key] = torch.stack([value[rows[name]] if name in rows else mean for name in wanted])
    return state


# ---- the network that PatchNCE compares with -------------------------------------------------------------------------


class PatchHead(nn.Module):
    """One two-layer perceptron per layer of features.

    Args:
        widths: channels of each layer of features.
        channels: length of the directions.
    """

    def __init__(self, widths: Sequence[int], channels: int = 256) -> None:
        super().__init__()
        self.perceptrons = nn.ModuleList(
            nn.Sequential(nn.Linear(width, channels), nn.ReLU(), nn.Linear(channels, channels)) for width in widths
        )

    def forward(self, features: Sequence[Tensor], places: Sequence[Tensor]) -> list[Tensor]:
        """Per layer, features (N, C, h, w) and the indices (P,) of places -> unit vectors (N, P, channels)."""
        directions = []
        for perceptron, layer, chosen in zip(self.perceptrons, features, places, strict=True):
            patches = layer.flatten(2)[:, :, chosen.to(layer.device)].transpose(1, 2)
            directions.append(F.normalize(perceptron(patches).float(), dim=2))
        return directions


def choose_places(features: Sequence[Tensor], count: int, seed: int, step: int) -> list[Tensor]:
    """At most `count` indices of places for each layer, without repetition: a pure function of seed and step.

    So a resumed run, every process and every accumulated pass of a step compare the same places.
    """
    source = torch.Generator().manual_seed((seed * 1_000_003 + step) % 2**63)
    return [torch.randperm(layer[0, 0].numel(), generator=source)[:count] for layer in features]


def is_mirrored(seed: int, step: int) -> bool:
    """Whether PatchNCE uses the mirrored photo in this step, as in half of them: a pure function of seed and step."""
    source = torch.Generator().manual_seed((seed * 1_000_003 + step + 2**61) % 2**63)
    return bool(torch.rand((), generator=source) < 0.5)
