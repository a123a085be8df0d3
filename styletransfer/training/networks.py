"""All networks of a training: the generator that is published, and those that exist only to train it."""

from collections.abc import Callable
from dataclasses import dataclass, fields

import torch
from torch import nn

from styletransfer.models.discriminator import UNDECIDED, Discriminator
from styletransfer.models.generator import STRIDE, Generator
from styletransfer.training.config import TrainingConfig
from styletransfer.training.patch_head import PatchHead


@dataclass
class Networks:
    """What is trained; None where the objective has no use for it."""

    generator: nn.Module  # photo -> painting
    discriminator: nn.Module  # is this a painting?
    head: nn.Module | None = None  # places of a picture -> directions, for PatchNCE
    photo_generator: nn.Module | None = None  # painting -> photo, for cycles; told the painting's style
    photo_discriminator: nn.Module | None = None  # is this a photo?

    @property
    def players(self) -> list[nn.Module]:
        """Those that learn with the generator."""
        return [network for network in (self.generator, self.head, self.photo_generator) if network is not None]

    @property
    def judges(self) -> list[nn.Module]:
        """Those that learn against it."""
        return [network for network in (self.discriminator, self.photo_discriminator) if network is not None]

    @property
    def all(self) -> list[nn.Module]:
        """Every network that there is, the generator and the discriminator first."""
        return [self.generator, self.discriminator, *self.players[1:], *self.judges[1:]]

    def map(self, change: Callable[[nn.Module], nn.Module]) -> "Networks":
        """The same with `change` of every network."""
        found = {field.name: getattr(self, field.name) for field in fields(self)}
        return Networks(**{name: None if network is None else change(network) for name, network in found.items()})


def has_head(config: TrainingConfig) -> bool:
    """Whether anything is compared by PatchNCE."""
    return bool(config.contrastive_weight or config.contrastive_identity_weight)


def build_networks(config: TrainingConfig) -> Networks:
    """Untrained networks for the losses that the config gives a weight."""
    sizes = {"channels": config.channels, "blocks": config.blocks, "grain": config.grain}
    judge = {
        "channels": config.discriminator_channels,
        "resolutions": config.discriminator_scales,
        "undecided": UNDECIDED.get(config.adversarial, 0.0),
    }
    networks = Networks(
        Generator(styles=config.style_titles, **sizes),
        Discriminator(len(config.style_sources), **judge, spectral_norm=config.spectral_norm),
    )
    if has_head(config):
        widths = [config.channels if layer else 3 * STRIDE**2 for layer in config.contrastive_layers]
        networks.head = PatchHead(widths, config.contrastive_channels)
    if config.cycle_weight:
        networks.photo_generator = Generator(styles=config.style_titles, **sizes)
        networks.photo_discriminator = Discriminator(1, **judge, spectral_norm=config.spectral_norm)
    return networks.map(lambda network: network.to(memory_format=torch.channels_last))
