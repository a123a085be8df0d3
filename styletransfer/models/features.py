"""What a pretrained CNN sees in a picture: the activations that style and content are measured on.

Networks are torchvision's (Simonyan & Zisserman 2015; Iandola 2016). Weights come from torchvision, or from a
local safetensors file that may hold the first layers only.
"""

from collections.abc import Sequence
from http.client import HTTPException
from pathlib import Path

import torch
from torch import Tensor, nn

from styletransfer.errors import InputError, first_line
from styletransfer.models.stored_weights import read_weights

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
VGG_CONVS_PER_BLOCK = {"vgg16": (2, 2, 3, 3, 3), "vgg19": (2, 2, 4, 4, 4)}
SQUEEZENET_LAYERS = {
    "relu1": 1, "fire2": 3, "fire3": 4, "fire4": 6, "fire5": 7, "fire6": 9, "fire7": 10, "fire8": 11, "fire9": 12,
}  # fmt: skip
LPIPS_CHANNELS = {"relu1": 64, "fire3": 128, "fire5": 256, "fire6": 384, "fire7": 384, "fire8": 512, "fire9": 512}
RANDOM = "random"
PADDINGS = ("zeros", "reflect")
NETWORKS = ("vgg19", "vgg16", "squeezenet1_1")


class DownloadError(InputError):
    """The pretrained weights of a network are neither in torch's cache nor can they be downloaded."""

    def __init__(self, network: str, reason: str) -> None:
        self.network, self.reason = network, reason
        super().__init__(f"The pretrained weights of {network} cannot be downloaded ({reason}): give them as a file.")


class Features(nn.Module):
    """Activations of a frozen pretrained network at named layers.

    Args:
        network: "vgg19", "vgg16" or "squeezenet1_1".
        layers: layer names: `relu{block}_{i}` for the VGGs (Gatys 2016), `relu1`, `fire2` ... `fire9` for SqueezeNet.
        weights: None for torchvision's ImageNet weights (downloaded once), a safetensors file with torchvision's keys
            (`features.0.weight`, ...), or "random" for untrained filters, always the same ones: they know palettes
            and fine textures (Ustyuzhaninov 2016), and need no download.
        padding: "zeros" as torchvision runs it, or "reflect" (no frame in the activations).

    Raises:
        InputError: unknown network or layer, unreadable file, or a layer that the file lacks (it is named).
        DownloadError: an InputError: the weights cannot be downloaded.
    """

    def __init__(
        self,
        network: str = "vgg19",
        layers: Sequence[str] = ("relu1_1", "relu2_1", "relu3_1"),
        weights: str | Path | None = None,
        padding: str = "zeros",
    ) -> None:
        super().__init__()
        indices = layer_indices(network)
        unknown = [name for name in layers if name not in indices]
        if not layers:
            raise InputError(f"No layer of {network} is asked for: choose from {', '.join(indices)}.")
        if padding not in PADDINGS:
            raise InputError(f"There is no padding {padding!r}: choose from {', '.join(PADDINGS)}.")
        if unknown:
            raise InputError(f"{network} has no layer {unknown[0]}: choose from {', '.join(indices)}.")
        self.indices = {name: indices[name] for name in layers}
        self.taps = list(self.indices.values())
        trunk = _trunk(network, pretrained=weights is None)[: max(self.taps) + 1]
        if weights == RANDOM:
            _draw_filters(trunk)
        elif weights is not None:
            _load_first_layers(trunk, Path(weights), {index: name for name, index in indices.items()})
        for layer in trunk.modules():
            if isinstance(layer, nn.Conv2d):
                layer.padding_mode = padding
                layer._reversed_padding_repeated_twice = [p for p in reversed(layer.padding) for _ in range(2)]
            if isinstance(layer, nn.ReLU):
                layer.inplace = False  # an activation we hand out must not change afterwards
        self.trunk = trunk
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(IMAGENET_STD).view(1, 3, 1, 1), persistent=False)
        self.eval().requires_grad_(False)

    @property
    def widths(self) -> list[int]:
        """Channels of each layer."""
        with torch.no_grad():
            return [layer.shape[1] for layer in self(torch.zeros(1, 3, 64, 64, device=self.mean.device))]

    def forward(self, picture: Tensor, layers: Sequence[str] | None = None) -> list[Tensor]:
        """(N, 3, H, W) in [-1, 1] -> one (N, C, h, w) per layer: of `layers`, or of all, in the order asked for."""
        taps = self.taps if layers is None else [self.indices[name] for name in layers]
        x = ((picture + 1) / 2 - self.mean) / self.std
        seen = {}
        for index, layer in enumerate(self.trunk[: max(taps) + 1]):
            x = layer(x)
            if index in taps:
                seen[index] = x
        return [seen[index] for index in taps]


def load_lpips_heads(path: str | Path) -> dict[str, Tensor]:
    """The linear heads of LPIPS version 0.1 for SqueezeNet 1.1, by layer: (1, C, 1, 1) each (Zhang 2018, section 3.2).

    Args:
        path: keys `lin0.model.1.weight` to `lin6`: squeeze.pth of the authors' package `lpips` (its folder
            weights/v0.1), or the same as safetensors.

    Raises:
        InputError: the file cannot be read, or does not hold the heads (the first that is missing is named).
    """
    stored, heads = read_weights(Path(path), "LPIPS weights", pickled=True), {}
    for index, (layer, channels) in enumerate(LPIPS_CHANNELS.items()):
        key = f"lin{index}.model.1.weight"
        if key not in stored or stored[key].shape != (1, channels, 1, 1):
            name = Path(path).name
            raise InputError(f"LPIPS weights {name} lack {key} of shape (1, {channels}, 1, 1) for SqueezeNet 1.1.")
        heads[layer] = stored[key].float()
    return heads


def layer_indices(network: str) -> dict[str, int]:
    """Layer name -> index in torchvision's `features`, in order of depth."""
    if network == "squeezenet1_1":
        return dict(SQUEEZENET_LAYERS)
    if network not in VGG_CONVS_PER_BLOCK:
        raise InputError(f"There is no feature network {network}: choose from {', '.join(NETWORKS)}.")
    indices, position = {}, 0
    for block, convs in enumerate(VGG_CONVS_PER_BLOCK[network], start=1):
        for conv in range(1, convs + 1):
            indices[f"relu{block}_{conv}"] = position + 1
            position += 2
        position += 1  # the pooling between blocks
    return indices


def _trunk(network: str, pretrained: bool) -> nn.Sequential:
    # Imported here: torchvision costs start-up time that the app, which only paints, need not pay.
    from torchvision import models

    if pretrained:
        with torch.random.fork_rng(devices=[]):  # what torchvision draws before it loads must not shift a training
            try:
                return models.get_model(network, weights="IMAGENET1K_V1").features
            except (
                OSError,
                HTTPException,
                RuntimeError,
            ) as error:  # the last: a download that is not what was asked for
                raise DownloadError(network, first_line(error)) from error
    with torch.device("meta"):  # no memory, no random numbers: all of it is assigned
        return models.get_model(network, weights=None).features


def _draw_filters(trunk: nn.Sequential) -> None:
    generator = torch.Generator().manual_seed(0)
    for layer in trunk.modules():
        if isinstance(layer, nn.Conv2d):
            fan_in = layer.weight[0].numel()
            drawn = torch.randn(layer.weight.shape, generator=generator) * (2 / fan_in) ** 0.5
            layer.weight, layer.bias = nn.Parameter(drawn), nn.Parameter(torch.zeros(len(drawn)))


def _load_first_layers(trunk: nn.Sequential, path: Path, names: dict[int, str]) -> None:
    stored = {key.removeprefix("features."): value for key, value in read_weights(path, "Feature weights").items()}
    if "fire2" not in names.values() and any(".squeeze." in key for key in stored):
        # Its first layer has the shape of VGG's, so the shapes below would not tell.
        raise InputError(f"Feature weights {path.name} are those of squeezenet1_1: name that network instead.")
    for key, expected in trunk.state_dict().items():
        if key not in stored:
            index = int(key.split(".")[0])
            layer = next(names[i] for i in sorted(names) if i >= index)
            raise InputError(
                f"Feature weights {path.name} lack layer {layer} (features.{key}): ask for earlier layers."
            )
        if stored[key].shape != expected.shape:
            raise InputError(
                f"Feature weights {path.name} hold features.{key} of shape {tuple(stored[key].shape)}, "
                f"not {tuple(expected.shape)}: they belong to another network."
            )
    unusual = [key for key in trunk.state_dict() if not stored[key].isfinite().all()]
    if unusual:
        raise InputError(f"Feature weights {path.name} hold numbers that are not finite (features.{unusual[0]}).")
    trunk.load_state_dict({key: stored[key].float() for key in trunk.state_dict()}, assign=True)
