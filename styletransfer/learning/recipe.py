"""What is asked of a style that is learned in minutes: the settings of the objective, and the networks that look."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from PIL import Image
from torch import Tensor

from styletransfer.data.crops import Cropper
from styletransfer.errors import InputError
from styletransfer.images.files import picture_to_tensor
from styletransfer.models.features import DownloadError
from styletransfer.training.config import TrainingConfig
from styletransfer.training.objective import Objective

# Pixels. Each crop is asked to hold all of the painting. A small one cannot, and learns what lies in between; so fewer
# steps of larger crops paint more in the same time, and keep more of the photo (docs/own-painting.md).
CROP_SIZE = 352
PAINTING_SIZE = 528  # pixels of the painting's long side, which says how large its strokes become
PHOTO_SCALE = (1.0, 1.15)  # short side of a photo in crops
LOSS_MARGIN = 16  # pixels

# As recipes/common.yaml: with the heads of LPIPS content is what people see, without them all channels alike.
_WITH_HEADS = {
    "content_distance": "lpips",
    "content_layers": ("relu1", "fire3", "fire5", "fire6", "fire7", "fire8", "fire9"),
    "content_loss_weight": 2.2,
}
# Mean distance of crops from their photos that a style may come to, with the heads of LPIPS and without. Whole photos
# that it has not seen are then 0.44 to 0.50 away, as `evaluate` measures it. Over ten styles that ship, crops are 0.43
# and 0.90 away.
CONTENT_ALLOWED = {True: 0.45, False: 0.93}
_WITHOUT_HEADS = {"content_distance": "normalized", "content_loss_weight": 0.2}


@dataclass(frozen=True)
class NetworkWeights:
    """Files of the pretrained networks that look at pictures.

    Args:
        style: VGG-19's first layers, safetensors; None: torchvision downloads them once.
        content: SqueezeNet 1.1, likewise.
        lpips: the heads of LPIPS for SqueezeNet; None: content is compared without them.
    """

    style: str | None = None
    content: str | None = None
    lpips: str | None = None


def learning_config(names: Sequence[str], weights: NetworkWeights, **settings: object) -> TrainingConfig:
    """The objective of styles, by their names; `settings` of TrainingConfig stand over the recipe."""
    recipe = {
        "style": tuple(f"{name}=painting" for name in names),
        "crop_size": CROP_SIZE,
        "photo_scale": PHOTO_SCALE,
        "painting_size": PAINTING_SIZE,
        "loss_margin": LOSS_MARGIN,
        "style_network_weights": weights.style,
        "content_network_weights": weights.content,
        "lpips_weights": weights.lpips,
        "deep_style_weight": 0.25,
        "gray_style_weight": 0.8,
        "calm_weight": 1.8,
        "tone_weight": 0.7,
        "content_ramp": 0.6,
        "adversarial_weight": 0.0,
        "border_weight": 0.1,
        "grid_weight": 0.1,
        **(_WITH_HEADS if weights.lpips else _WITHOUT_HEADS),
    }
    return TrainingConfig(**(recipe | settings))


def scaled_painting(config: TrainingConfig, rgb: Image.Image) -> Tensor:
    """The painting (1, 3, H, W) in [-1, 1] at the size that its strokes are learned at."""
    cropper = Cropper(config.crop_size, config.photo_scale, config.painting_size)
    return picture_to_tensor(rgb.resize(cropper.painting_scaled(rgb.size), Image.Resampling.LANCZOS, reducing_gap=3.0))


def build_objective(config: TrainingConfig, paintings: Mapping[str, Tensor], device: torch.device) -> Objective:
    """The objective with paintings (1, 3, H, W) in [-1, 1], each as the style of that name.

    Raises:
        InputError: a file of weights cannot be used, or none can be downloaded.
    """
    try:
        return Objective(config, lambda style, limit: [paintings[style]], device)
    except DownloadError as error:
        raise InputError(
            "The weights of {network} cannot be downloaded ({reason}): give files with --style-network-weights and "
            "--content-network-weights.",
            network=error.network,
            reason=error.reason,
        ) from error
