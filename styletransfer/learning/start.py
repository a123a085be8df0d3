"""Where a style starts from: the network, among those at hand, that is nearest to painting it already."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from styletransfer.errors import InputError
from styletransfer.hub.repos import resolve_pack
from styletransfer.learning.fit import crop_score, cropper_of, start_from
from styletransfer.models.generator import Generator, Share
from styletransfer.packs.contents import CONFIG, WEIGHTS
from styletransfer.packs.folder import load_pack, pack_styles
from styletransfer.paths import STYLES
from styletransfer.training.objective import Objective

# Of the sixteen styles that ship, the nearest to paintings that none was trained on, see docs/own-painting.md: they
# keep the photo's hues, which a network that knows one palette has forgotten.
STARTS = ("points", "wheat-field", "rooster")


@dataclass(frozen=True)
class Base:
    """A style to start from.

    Args:
        folder: of its pack.
        style: its name in there; None: the mean of all of the pack's.
        pack: what people call the pack: a folder's name, or org/name on the Hub.
        revision: the commit on the Hub, or the first digits of the SHA-256 of its weights.
    """

    folder: Path
    style: str | None
    pack: str
    revision: str

    def __str__(self) -> str:
        return f"{self.pack}@{self.revision}" + (f", style {self.style}" if self.style else "")

    def generator(self, name: str, title: str) -> Generator:
        """A network of one style, of that name and title, that paints as this one does."""
        trained = load_pack(self.folder, self.pack)
        rows = [self.style] if self.style else list(trained.styles)
        return start_from([Share(trained, row, row, 1.0) for row in rows], name, title)


def shipped_bases(folder: Path = STYLES) -> list[Base]:
    """Every style that ships. Raises InputError where there is none."""
    packs = sorted(path for path in folder.iterdir() if (path / CONFIG).is_file()) if folder.is_dir() else []
    bases = [Base(path, style, path.name, revision_of(path)) for path in packs for style in pack_styles(path)]
    if not bases:
        raise InputError("There is no style pack in {folder} to start from: name one with --base.", folder=folder)
    return bases


def likely_bases() -> list[Base]:
    """Those of STARTS that are there; where there are none, every style that ships."""
    shipped = shipped_bases()
    return [base for base in shipped if base.style in STARTS] or shipped


def named_base(name: str) -> Base:
    """The base of a name: a style that ships, the folder of a pack, or org/name[@revision] on the Hub.

    Raises:
        InputError: there is none of that name, or no way to it.
    """
    shipped = {base.style: base for base in shipped_bases()}
    if name in shipped:
        return shipped[name]
    folder = Path(resolve_pack(name))
    pack_styles(folder, name)  # says now what is wrong with it
    is_folder = Path(name) == folder
    return Base(folder, None, folder.name if is_folder else name.partition("@")[0], revision_of(folder))


def revision_of(folder: Path) -> str:
    """The commit of a pack in the cache of the Hub; else the first 12 hex digits of the SHA-256 of its weights."""
    is_commit = folder.parent.name == "snapshots"
    if is_commit:
        return folder.name
    try:
        return hashlib.sha256((folder / WEIGHTS).read_bytes()).hexdigest()[:12]
    except OSError as error:
        raise InputError("The pack {pack} has no weights: {file} is missing.", pack=folder, file=WEIGHTS) from error


@torch.no_grad()
def nearest(bases: Sequence[Base], objective: Objective, photos: Sequence[Image.Image], device: torch.device) -> Base:
    """The base whose paintings of a crop of a photo please the objective most.

    Args:
        bases: to choose from.
        objective: with the painting as its style.
        photos: "RGB".
        device: where the networks run.
    """
    crop = cropper_of(objective.config).cut_photo(0, photos[0]).to(device)
    return min(bases, key=lambda base: distance(base, objective, crop))


def distance(base: Base, objective: Objective, crop: Tensor) -> float:
    """What the objective says of a base's painting of a crop (1, 3, c, c): lower is nearer."""
    return crop_score(base.generator("near", "Near").to(crop.device), objective, crop)
