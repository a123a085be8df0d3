"""Small networks whose styles differ, although nothing was trained, and photos for them."""

import torch
import torch.nn.functional as F

from styletransfer.models.discriminator import Discriminator
from styletransfer.models.generator import Generator
from styletransfer.packs.contents import DISCRIMINATOR


def random_generator(styles, channels=16, blocks=2, seed=0):
    """Every scale and shift random, too: as they start, all styles are one and many faults hide."""
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        generator = Generator(styles, channels=channels, blocks=blocks)
        for name, values in generator.named_parameters():
            if name.endswith("scale"):
                values.uniform_(0.5, 1.5)
            elif name.endswith("shift"):
                values.normal_(0, 0.5)
    return generator.eval()


def random_photo(height, width, count=1, seed=0):
    """Smooth places and fine grain, in [-1, 1]."""
    source = torch.Generator().manual_seed(seed)
    coarse = F.interpolate(torch.rand(count, 3, 5, 6, generator=source), (height, width), mode="bicubic")
    return (coarse * 2 - 1 + 0.2 * torch.randn(count, 3, height, width, generator=source)).clamp(-1, 1)


def random_discriminator(styles=2, seed=0, **sizes):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Discriminator(styles, **{"channels": 4, "resolutions": 1, **sizes})


def add_discriminator(pack, styles=2, **sizes):
    """Let a pack carry one; returns its folder."""
    random_discriminator(styles, **sizes).save_pretrained(pack / DISCRIMINATOR)
    return pack / DISCRIMINATOR
