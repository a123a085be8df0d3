"""Measures a picture against its photo and a style, as far as the networks' weights are at hand."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from typing import TypeVar

import torch
from torch import Tensor, nn

from styletransfer.evaluation import metrics
from styletransfer.evaluation.brushwork import (
    DEEP_LAYERS,
    MEASURES,
    BrushworkMeter,
    BrushworkTarget,
    Distances,
    calm_places,
)
from styletransfer.evaluation.inception import FidInception
from styletransfer.images.lab import color_statistics
from styletransfer.models.features import DownloadError, Features

STYLE_LAYERS = ("relu1_1", "relu2_1", "relu3_1")
LEAST_SIDE = 32  # pixels; below it SqueezeNet has nothing left to compare

Network = TypeVar("Network", bound=nn.Module)


@dataclass(frozen=True)
class WeightFiles:
    """The files of each network's weights; None means torchvision's, where torchvision has them."""

    style: str | None = None  # VGG-19 up to relu3_1
    content: str | None = None  # SqueezeNet 1.1
    lpips: str | None = None  # the linear heads of LPIPS for SqueezeNet
    inception: str | None = None  # Inception of FID


@dataclass
class Look:
    """Measurements of one picture alone; tensors on the CPU, so that processes can exchange them."""

    colors: tuple[Tensor, Tensor]  # mean and deviation (1, 3, 1, 1) in CIELAB
    grams: list[Tensor] = field(default_factory=list)  # (1, C, C) per layer; empty without the weights of VGG
    patches: Tensor | None = None  # see metrics.patch_projections
    brushwork: BrushworkTarget | None = None  # only of a painting that others are compared with


@dataclass(frozen=True)
class Style:
    """The mean of the paintings of a style, which painted photos are compared with."""

    colors: tuple[Tensor, Tensor]
    grams: list[Tensor]
    patches: Tensor
    brushwork: list[BrushworkTarget]


@dataclass(frozen=True)
class Score:
    """The measures of one picture, defined in `metrics`; None where the weights of the network are missing."""

    photo: str
    flat: float | None  # these three: brushwork, see `brushwork`
    deep: float | None
    strokes: float | None
    content: float | None  # LPIPS
    style: float | None  # Gram distance
    grid: float  # gray levels, the maximum over periods
    border: float
    ssim: float
    patches: float  # gray levels
    clipped: float  # share of pixels
    color_shift: float  # CIELAB
    grid_periods: dict[str, float]  # period in pixels -> gray levels


class Judge:
    """Measures pictures, given as (1, 3, H, W) in [-1, 1] with sides of at least 32.

    Args:
        weights: the files of the networks.
        device: where the networks run.
        collections: also load the networks that collections are compared with.

    Attributes:
        notes: one clause for each measure that is left out: which weights it needs and how to get them.

    Raises:
        InputError: a file of `weights` cannot be used.
    """

    def __init__(self, weights: WeightFiles, device: torch.device, collections: bool = False) -> None:
        self.device = device
        self.notes: list[str] = []
        self.networks = {}  # measure -> network and file, for the record
        self.lpips = self._lpips(weights)
        self.vgg = self._from_torchvision(
            "the style distance",
            lambda: Features("vgg19", STYLE_LAYERS, weights=weights.style),
            ("VGG-19", "style", weights.style),
        )
        self.brushwork = self._brushwork(weights)
        self.squeezenet = self.inception = None
        if collections:
            self.squeezenet = self._from_torchvision(
                "the Frechet distance",
                lambda: Features("squeezenet1_1", ("fire9",), weights=weights.content),
                ("SqueezeNet 1.1", "content", weights.content),
            )
            self.inception = self._inception(weights)

    @torch.inference_mode()
    def look(self, picture: Tensor, patches: int = metrics.PATCH_COUNT, seed: int = 0) -> Look:
        """The measurements of the picture alone, on `patches` patches drawn from the seed."""
        picture = picture.to(self.device)
        return Look(
            colors=tuple(x.cpu() for x in color_statistics(picture)),
            grams=[gram.cpu() for gram in metrics.picture_grams(picture, self.vgg)] if self.vgg else [],
            patches=metrics.patch_projections(picture, patches, seed),
        )

    def brushwork_target(self, painting: Tensor) -> BrushworkTarget | None:
        """The brushwork target of a painting (1, 3, H, W) in [-1, 1]; None without the networks' weights."""
        return self.brushwork.target(painting) if self.brushwork else None

    def brushwork_before(self, photo: Tensor, style: Style) -> list[Distances]:
        """The distance of the photo to each painting of the style, of which brushwork is a share."""
        return self._distances(photo, calm_places(photo), style)

    def _distances(self, picture: Tensor, calm: Tensor, style: Style) -> list[Distances]:
        return [self.brushwork.distances(picture, target, calm) for target in style.brushwork]

    @torch.inference_mode()
    def features(self, picture: Tensor) -> dict[str, Tensor]:
        """The features that collections are compared by: "frechet" (512,), "inception" (2048,), as far as loaded."""
        picture = picture.to(self.device)
        found = {}
        if self.squeezenet:
            found["frechet"] = self.squeezenet(picture)[0].mean(dim=(2, 3))[0].cpu()
        if self.inception:
            found["inception"] = self.inception(picture)[0].cpu()
        return found

    @torch.inference_mode()
    def score(
        self, name: str, painted: Tensor, photo: Tensor, look: Look, style: Style, before: Sequence[Distances]
    ) -> Score:
        """The measures of `painted` against its photo and the style.

        Args:
            name: the file name of the photo.
            painted, photo: (1, 3, H, W) in [-1, 1].
            look: of `painted`.
            style: of `mean_style`.
            before: `brushwork_before` of the photo.
        """
        is_photo = painted is photo
        after = before if is_photo else self._distances(painted, calm_places(photo), style)
        closed = [was.closed(now) for was, now in zip(before, after, strict=True)]
        painted, photo = painted.to(self.device), photo.to(self.device)
        grid = metrics.grid_amplitudes(painted)
        content = 0.0 if is_photo else self.lpips(painted, photo).item() if self.lpips else None
        return Score(
            photo=name,
            **{measure: fmean(each[measure] for each in closed) if closed else None for measure in MEASURES},
            content=content if self.lpips else None,
            style=metrics.gram_distance(look.grams, style.grams) if self.vgg else None,
            grid=max(grid.values()),
            border=metrics.border_ratio(painted, photo),
            ssim=metrics.luminance_ssim(painted, photo),
            patches=metrics.patch_distance(look.patches, style.patches),
            clipped=metrics.clipped_share(painted),
            color_shift=metrics.color_shift(painted, photo),
            grid_periods=grid,
        )

    def _lpips(self, weights: WeightFiles) -> metrics.Lpips | None:
        if weights.lpips is None:
            self.notes.append(
                "content (LPIPS) is left out: it needs the linear heads for SqueezeNet, squeeze.pth in weights/v0.1 of "
                "the Python package lpips; name that file with --lpips-weights"
            )
            return None
        network = self._from_torchvision(
            "content (LPIPS)",
            lambda: metrics.Lpips(weights.content, weights.lpips),
            ("SqueezeNet 1.1", "content", weights.content),
        )
        if network:
            self.networks["content (LPIPS)"] += f", {Path(weights.lpips).name}"
        return network

    def _brushwork(self, weights: WeightFiles) -> BrushworkMeter | None:
        squeezenet = self._from_torchvision(
            "brushwork",
            lambda: Features("squeezenet1_1", DEEP_LAYERS, weights=weights.content),
            ("SqueezeNet 1.1", "content", weights.content),
        )
        return BrushworkMeter(self.vgg, squeezenet, self.device) if self.vgg and squeezenet else None

    def _inception(self, weights: WeightFiles) -> FidInception | None:
        if weights.inception is None:
            self.notes.append(
                "KID, FID and ArtFID are left out: they need pt_inception-2015-12-05-6726825d.pth from the releases of "
                "pytorch-fid; name that file with --inception-weights"
            )
            return None
        self.networks["KID"] = f"Inception v3 of 2015, {Path(weights.inception).name}"
        return FidInception(weights.inception).to(self.device)

    def _from_torchvision(
        self, measure: str, load: Callable[[], Network], origin: tuple[str, str, str | None]
    ) -> Network | None:
        """The loaded network; None, and a note, where torchvision cannot download its weights."""
        network, flag, file = origin
        try:
            loaded = load().to(self.device)
        except DownloadError as error:
            self.notes.append(
                f"{measure} is left out: it needs {network}'s ImageNet weights, which torchvision could not download "
                f"({error.reason}); name a safetensors file of them with --{flag}-network-weights"
            )
            return None
        self.networks[measure] = f"{network}, {Path(file).name if file else 'torchvision IMAGENET1K_V1'}"
        return loaded


def mean_style(looks: Sequence[Look]) -> Style:
    """The style of several paintings: mean colors, mean Gram matrices, the patches of all."""
    means, deviations = zip(*(look.colors for look in looks), strict=True)
    return Style(
        colors=(torch.stack(means).mean(dim=0), torch.stack(deviations).mean(dim=0)),
        grams=[torch.stack(layer).mean(dim=0) for layer in zip(*(look.grams for look in looks), strict=True)],
        patches=metrics.sorted_patches(torch.cat([look.patches for look in looks], dim=1)),
        brushwork=[look.brushwork for look in looks if look.brushwork],
    )
