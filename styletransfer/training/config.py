"""Everything a training run can be told, once: fields are flags, defaults, YAML keys and the recipe in the pack."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import Field, asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

import yaml

from styletransfer.errors import InputError
from styletransfer.models.discriminator import DISCRIMINATOR_BOUNDS
from styletransfer.models.features import LPIPS_CHANNELS, NETWORKS
from styletransfer.models.generator import BOUNDS
from styletransfer.models.losses import ADVERSARIAL
from styletransfer.training.presets import PRESETS

DISCRIMINATOR_INPUTS = ("pixels", "features")
STYLE_DISTANCES = ("sliced", "gram", "centered-gram")
COLLECTION_TARGETS = ("all", "each")
CONTENT_DISTANCES = ("energy", "normalized", "lpips")
PRECISIONS = ("fp32", "bf16", "fp16")
SIZES = {
    **BOUNDS,
    "discriminator_channels": DISCRIMINATOR_BOUNDS["channels"],
    "discriminator_scales": DISCRIMINATOR_BOUNDS["resolutions"],
}
TRACKERS = ("tensorboard", "trackio", "wandb", "none")


def _flag(default: Any, help: str, choices: Sequence[str] | None = None, metavar: str | None = None) -> Any:
    return field(default=default, metadata={"help": help, "choices": choices, "metavar": metavar})


@dataclass(frozen=True)
class TrainingConfig:
    """A training run. Sizes in pixels, `*_every` in steps, weights multiply losses."""

    photos: tuple[str, ...] = _flag(
        (),
        "Photos to learn from: a folder, one picture, or a dataset on the Hub, written "
        "org/name[@revision][:split][:column][:label=value]. Repeat the flag for more sources.",
        metavar="SOURCE",
    )
    style: tuple[str, ...] = _flag(
        (),
        "A style and its paintings: a folder, one picture or a dataset on the Hub, as for --photos. "
        "Repeat the flag for more styles.",
        metavar="NAME=SOURCE",
    )
    title: tuple[str, ...] = _flag(
        (), "Title under which a style is shown to people. Repeat for more styles.", metavar="NAME=TITLE"
    )
    note: tuple[str, ...] = _flag(
        (),
        "Painter, source and licence of a style's paintings, printed on the pack's card. Repeat for more styles.",
        metavar="NAME=TEXT",
    )
    streaming: bool = _flag(False, "Read Hub datasets during training instead of downloading them first.")
    shuffle_buffer: int = _flag(
        256, "Pictures of a streamed dataset that are shuffled together; twice as many are held in memory."
    )
    stream_patience: int = _flag(600, "Seconds for which reading a streamed dataset is retried after it fails.")
    workers: int = _flag(0, "Processes that load pictures; with --streaming at most one is used.")

    output_dir: str = _flag(
        "runs/styletransfer", "Folder for checkpoints, samples, logs and the pack.", metavar="FOLDER"
    )
    license: str = _flag("mit", "Licence of the pack, printed on its card.", metavar="NAME")
    pack_half: bool = _flag(False, "Store the pack's weights in float16, which halves its size.")
    pack_discriminator: bool = _flag(
        True, "Store the discriminator in the pack, for the page's explanation and for fine-tuning."
    )

    steps: int = _flag(10_000, "Number of optimizer updates.")
    epochs: int = _flag(0, "Passes through all photos, in place of --steps; 0 counts steps.")
    batch_size: int = _flag(4, "Pictures per process and forward pass.")
    gradient_accumulation_steps: int = _flag(1, "Forward passes whose gradients are added up for one step.")
    seed: int = _flag(0, "Seed of the initial weights, the crops and the augmentation.")
    resume: bool | str = _flag(
        False,
        "Continue exactly from the newest checkpoint in --output-dir, or from a checkpoint or run in FOLDER. "
        "Learning rates and Adam's settings are the checkpoint's.",
        metavar="FOLDER",
    )
    initialize_from: str | None = _flag(
        None, "Pack whose weights training starts from: a folder, or org/name on the Hub.", metavar="PACK"
    )

    crop_size: int = _flag(256, "Side of the square crops that the networks are trained on, in pixels.")
    photo_scale: tuple[float, ...] = _flag(
        (1.0, 1.6), "Smallest and largest short side to which a photo is resized before cropping, in crop sizes."
    )
    loss_margin: int = _flag(16, "Border of a crop, in pixels, that losses leave out, so that no frame is learned.")
    painting_size: int = _flag(
        560, "Long side to which a painting is resized, in pixels; smaller paintings give finer strokes."
    )

    channels: int = _flag(64, "Number of channels of the generator.")
    blocks: int = _flag(8, "Number of residual blocks of the generator.")
    grain: float = _flag(0.04, "Deviation of the noise added to photos, from which strokes can start in flat areas.")
    discriminator_channels: int = _flag(32, "Number of channels of the discriminator.")
    discriminator_scales: int = _flag(2, "Number of resolutions at which the discriminator looks at a picture.")
    discriminator_input: str = _flag(
        "pixels",
        "What the discriminator looks at: the pixels of a picture, or the features that --style-network sees in it.",
        DISCRIMINATOR_INPUTS,
    )
    spectral_norm: bool = _flag(False, "Use spectral normalization in the discriminator.")

    objective: str = _flag(
        "brushwork",
        "Preset of loss weights and learning rates (listed below); other flags override it.",
        tuple(PRESETS),
    )
    style_loss_weight: float = _flag(1.0, "Weight of the style loss.")
    deep_style_weight: float = _flag(0.3, "Weight of the style loss in deep layers, relative to --style-loss-weight.")
    gray_style_weight: float = _flag(
        0.5,
        "Weight of the style loss in the same deep layers of the luminance alone, relative to --style-loss-weight.",
    )
    calm_weight: float = _flag(0.5, "Weight of a second style loss on the calmest part of each photo.")
    content_loss_weight: float = _flag(0.2, "Weight of the content loss, which keeps deep features of the photo.")
    content_ramp: float = _flag(
        0.6,
        "Share of the steps over which the content weight rises from a quarter to its full value; "
        "0 uses the full weight from the start.",
    )
    tone_weight: float = _flag(0.3, "Weight of the tone loss, which keeps light and dark areas of the photo.")
    content_balance: tuple[str, ...] = _flag(
        (), "Factor on the content weight of one style. Repeat for more styles.", metavar="NAME=FACTOR"
    )
    feature_matching_weight: float = _flag(
        0.0, "Weight of the distance between mean deep features of a painting and of the whole collection."
    )
    adversarial_weight: float = _flag(0.1, "Weight of the generator's adversarial loss.")
    adversarial: str = _flag("non-saturating", "Form of the adversarial loss.", ADVERSARIAL)
    l1_weight: float = _flag(0.0, "Weight of the L1 distance between the pixels of painting and photo.")
    color_weight: float = _flag(0.0, "Weight of the distance between blurred colors of painting and photo.")
    identity_weight: float = _flag(
        0.0, "Weight of the identity loss: a painting that is painted again should not change."
    )
    contrastive_weight: float = _flag(0.0, "Weight of PatchNCE between photos and their paintings.")
    contrastive_identity_weight: float = _flag(
        0.0, "Weight of PatchNCE between paintings and the same paintings painted again."
    )
    cycle_weight: float = _flag(0.0, "Weight of the cycle losses: photo to painting to photo, and the reverse.")
    total_variation_weight: float = _flag(0.0, "Weight of the total variation of the painting, which smooths it.")
    r1_weight: float = _flag(1.0, "Weight of the discriminator's R1 gradient penalty (gamma).")
    r1_every: int = _flag(16, "Steps between two gradient penalties.")
    grid_weight: float = _flag(
        0.1, "Weight of the grid loss: regular patterns with periods of 4, 8/3 and 2 pixels, in gray levels."
    )
    border_weight: float = _flag(
        0.0, "Weight of the border loss: the picture's edge should not differ from its inside more than in the photo."
    )
    halo_weight: float = _flag(
        0.0, "Weight of the halo loss: beside a dark contour a surface should not be painted brighter than elsewhere."
    )

    style_distance: str = _flag(
        "sliced",
        "How style is compared: sliced (Heitz 2021), gram (Gatys 2016), or centered-gram (covariances, less color).",
        STYLE_DISTANCES,
    )
    collection_target: str = _flag(
        "all",
        "What the sliced distance compares with where a style has several paintings: all together, or each in turn.",
        COLLECTION_TARGETS,
    )
    style_octaves: int = _flag(3, "Number of resolutions at which style is compared, each half of the one before.")
    style_places: int = _flag(1024, "Feature vectors of a layer that the sliced distance compares.")
    style_window: int = _flag(
        128, "Side of the window in which style is compared at full resolution, in pixels; 0 takes the whole crop."
    )
    calm_size: int = _flag(112, "Side of the calm part that --calm-weight compares, in pixels.")
    style_patches: int = _flag(1, "With n, Gram matrices are compared in each of n x n patches of a picture.")
    style_network: str = _flag("vgg19", "Pretrained network in which style is compared.", NETWORKS)
    style_layers: tuple[str, ...] = _flag(
        ("relu1_1", "relu2_1", "relu3_1"), "Layers of --style-network that are compared.", metavar="LAYER"
    )
    style_network_weights: str | None = _flag(
        None,
        "Weights of --style-network: a safetensors file, or 'random'; without it torchvision downloads them.",
        metavar="FILE",
    )
    deep_style_layers: tuple[str, ...] = _flag(
        ("fire3", "fire5", "fire6", "fire7", "fire9"),
        "Layers of --content-network in which --deep-style-weight compares style.",
        metavar="LAYER",
    )
    content_network: str = _flag("squeezenet1_1", "Pretrained network in which content is compared.", NETWORKS)
    content_layers: tuple[str, ...] = _flag(
        ("fire5", "fire6", "fire7", "fire9"), "Layers of --content-network that are compared.", metavar="LAYER"
    )
    content_network_weights: str | None = _flag(
        None,
        "Weights of --content-network: a safetensors file, or 'random'; without it torchvision downloads them.",
        metavar="FILE",
    )
    feature_matching_layers: tuple[str, ...] = _flag(
        ("fire9",), "Layers of --content-network for --feature-matching-weight.", metavar="LAYER"
    )
    content_distance: str = _flag(
        "normalized",
        "How content is compared: energy (Johnson 2016), lpips (Zhang 2018), or normalized (LPIPS without its heads).",
        CONTENT_DISTANCES,
    )
    lpips_weights: str | None = _flag(
        None, "Heads of LPIPS for SqueezeNet, a local file; --content-distance lpips needs it.", metavar="FILE"
    )
    contrastive_layers: tuple[int, ...] = _flag(
        (0, 1, 2, 6),
        "Layers of the generator that PatchNCE compares: 0 is the pixels, 1 the stem, 1 + k residual block k.",
        metavar="LAYER",
    )
    contrastive_patches: int = _flag(256, "Places of a picture that PatchNCE compares.")
    contrastive_channels: int = _flag(256, "Length of the vectors that PatchNCE compares.")
    contrastive_flips: bool = _flag(
        False, "In half of the steps, PatchNCE compares with features of the mirrored photo (FastCUT)."
    )
    contrastive_temperature: float = _flag(0.07, "Temperature of PatchNCE; a lower one makes the loss sharper.")
    pool_size: int = _flag(0, "Fake pictures of earlier steps that discriminators see again.")

    learning_rate: float = _flag(1e-3, "Adam learning rate of the generator.")
    discriminator_learning_rate: float = _flag(2e-4, "Adam learning rate of the discriminator.")
    adam_beta1: float = _flag(0.5, "Adam's decay rate of the mean gradient, for both networks.")
    adam_beta2: float = _flag(0.99, "Adam's decay rate of the mean squared gradient, for both networks.")
    adam_weight_decay: float = _flag(0.0, "Decoupled weight decay (AdamW), for both networks.")
    schedule: str = _flag(
        "cosine", "Decay of both learning rates: a name that diffusers' get_scheduler knows.", metavar="NAME"
    )
    warmup_steps: int = _flag(100, "Steps over which both learning rates rise from 0.")
    max_gradient_norm: float = _flag(10.0, "Norm to which each network's gradient is clipped.")
    ema_decay: float = _flag(0.998, "Decay of the exponential moving average of the generator, which the pack holds.")

    mixed_precision: str = _flag("fp32", "Floating-point format in which networks run.", PRECISIONS)
    cpu: bool = _flag(False, "Train on the CPU even where there is a GPU.")
    tf32: bool = _flag(False, "Allow TF32 in float32 matrix products, on NVIDIA GPUs from 2020 on: faster, less exact.")
    compile: bool = _flag(False, "Compile the generator with torch.compile: slow first step, faster ones after it.")
    gradient_checkpointing: bool = _flag(
        False, "Compute the generator's activations a second time in the backward pass, which saves memory."
    )
    profile: bool = _flag(False, "Measure the parts of a step and report their shares of the time at the end.")

    log_every: int = _flag(50, "Steps between two lines of losses.jsonl and of the tracker.")
    checkpoint_every: int = _flag(1000, "Steps between two checkpoints.")
    keep_checkpoints: int = _flag(2, "Number of newest checkpoints that are kept.")
    sample_every: int = _flag(1000, "Steps between two grids of sample pictures.")
    sample_photos: str | None = _flag(
        None,
        "Photos in the sample grids, a source as for --photos; without it the first of --photos.",
        metavar="SOURCE",
    )
    tracker: str = _flag("tensorboard", "Program that draws losses and sample grids.", TRACKERS)

    push_to_hub: str | None = _flag(
        None, "Repository on the Hub to which the pack is pushed at the end.", metavar="ORG/NAME"
    )
    private: bool = _flag(False, "Create the repository of --push-to-hub as a private one.")
    push_every: int = _flag(0, "Steps between two pushes of the unfinished pack; 0 pushes at the end only.")
    hub_checkpoint: bool = _flag(False, "Push checkpoints, too; --resume then continues from the Hub on any machine.")

    def __post_init__(self) -> None:
        """Refuse what cannot be trained, in one sentence.

        Raises:
            InputError: a missing source, a value out of range, an unknown choice.
        """
        for setting in fields(self):
            value, choices = getattr(self, setting.name), setting.metadata["choices"]
            if choices and value not in choices:
                raise InputError(f"{flag_name(setting)} is {value!r}: choose from {', '.join(choices)}.")
            if setting.type is int and setting.name not in MAY_BE_ZERO and value < 1:
                raise InputError(f"{flag_name(setting)} is {value}: it must be at least 1.")
            if setting.type in (int, float) and not 0 <= value < math.inf:  # NaN fails this, too
                raise InputError(f"{flag_name(setting)} is {value}: it must be a number of at least 0.")
            least, most = SIZES.get(setting.name, (0, math.inf))
            if setting.name in SIZES and not least <= value <= most:
                raise InputError(f"{flag_name(setting)} is {value}: it must be {least} to {most}.")
            if setting.name in BELOW_ONE and value >= 1:
                raise InputError(f"{flag_name(setting)} is {value}: it must be below 1.")
            if setting.name.endswith("_layers") and not value:
                raise InputError(f"{flag_name(setting)} is empty: name at least one layer.")
        self._check_together()
        if self.discriminator_input == "features" and self.pack_discriminator:
            raise InputError(
                "--discriminator-input features needs --no-pack-discriminator: a pack holds one of pixels."
            )

    def _check_together(self) -> None:
        for name in ("private", "push_every", "hub_checkpoint"):
            if getattr(self, name) and not self.push_to_hub:
                raise InputError(f"--{name.replace('_', '-')} needs --push-to-hub org/name.")
        if self.crop_size % 16:
            raise InputError(f"--crop-size is {self.crop_size}: it must be a multiple of 16.")
        if self.content_ramp > 1:
            raise InputError(f"--content-ramp is {self.content_ramp}: it must be 0 to 1.")
        if self.loss_margin % 8 or self.crop_size - 2 * self.loss_margin < 64:
            raise InputError(
                f"--loss-margin is {self.loss_margin}: it must be a multiple of 8 that leaves 64 pixels of a crop."
            )
        if len(self.photo_scale) != 2 or not 1 <= self.photo_scale[0] <= self.photo_scale[1] < math.inf:
            raise InputError("--photo-scale takes two numbers, the least and the largest, both at least 1.")
        if self.contrastive_weight or self.contrastive_identity_weight:
            self._check_contrastive()
        if self.content_loss_weight and self.content_distance == "lpips":
            self._check_lpips()
        inside = self.crop_size - 2 * self.loss_margin
        if inside >> (self.style_octaves - 1) < 16 * self.style_patches:
            raise InputError(
                f"--style-octaves {self.style_octaves} and --style-patches {self.style_patches} leave under 16 pixels "
                f"of the {inside} that losses look at: lower one of them, or give larger crops."
            )

    def _check_lpips(self) -> None:
        if self.lpips_weights is None:
            raise InputError(
                "--content-distance lpips needs --lpips-weights FILE: squeeze.pth in weights/v0.1 of the package lpips."
            )
        unknown = [layer for layer in self.content_layers if layer not in LPIPS_CHANNELS]
        if self.content_network != "squeezenet1_1" or unknown:
            raise InputError(
                "--content-distance lpips is measured in --content-network squeezenet1_1, --content-layers "
                f"{' '.join(LPIPS_CHANNELS)}: choose among these."
            )

    def _check_contrastive(self) -> None:
        if not all(0 <= layer <= self.blocks + 1 for layer in self.contrastive_layers):
            shown = " ".join(map(str, self.contrastive_layers))
            raise InputError(
                f"--contrastive-layers is {shown}: with --blocks {self.blocks} they must be 0 to {self.blocks + 1}."
            )
        if not self.contrastive_temperature:
            raise InputError("--contrastive-temperature is 0: it must be above 0, as 0.07 is.")

    @property
    def style_sources(self) -> dict[str, str]:
        """Style name -> source of its paintings, in the order given."""
        return pairs("--style", self.style)

    @property
    def style_titles(self) -> dict[str, str]:
        """Style name -> title; a name without a title is spelled out ("great-wave" -> "Great Wave")."""
        titles = pairs("--title", self.title)
        return {name: titles.get(name, name.replace("-", " ").title()) for name in self.style_sources}


BELOW_ONE = ("ema_decay", "adam_beta1", "adam_beta2")
MAY_BE_ZERO = ("seed", "workers", "style_window", "warmup_steps", "loss_margin", "pool_size", "push_every", "epochs")


def pairs(flag: str, values: Sequence[str]) -> dict[str, str]:
    """("name=value", ...) -> {name: value}. Raises InputError for a text without `=` or a name given twice."""
    found: dict[str, str] = {}
    for text in values:
        name, equals, value = text.partition("=")
        if not (name and equals and value):
            raise InputError(f"{flag} {text!r} must be NAME=VALUE.")
        if name in found:
            raise InputError(f"{flag} names {name!r} twice: give each style once.")
        found[name] = value
    return found


def flag_name(setting: Field) -> str:
    """crop_size -> --crop-size."""
    return "--" + setting.name.replace("_", "-")


def configure(settings: Mapping[str, Any]) -> TrainingConfig:
    """A config from settings over the preset of their objective over defaults. Raises InputError as TrainingConfig."""
    preset = PRESETS.get(settings.get("objective", "brushwork"), {})
    return TrainingConfig(**{**preset, **{name: _settle(value) for name, value in settings.items()}})


def load_config(*paths: Path) -> TrainingConfig:
    """YAML (or JSON) files of settings, later over earlier. Raises InputError for an unreadable file or setting."""
    return configure(read_settings(paths))


def read_settings(paths: Iterable[Path]) -> dict[str, Any]:
    """The settings of YAML files, later over earlier. Raises InputError for an unreadable file or setting."""
    return {name: value for path in paths for name, value in _read_file(path).items()}


def _read_file(path: Path) -> dict[str, Any]:
    try:
        settings = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"Settings {path} cannot be read: {str(error).splitlines()[0]}.") from error
    if not isinstance(settings, dict):
        raise InputError(f"Settings {path} must be a list of `name: value` lines.")
    types = get_type_hints(TrainingConfig)
    for name, value in settings.items():
        if name not in types:
            raise InputError(f"Settings {path} hold {name!r}, which is no setting: see train_accelerate.py --help.")
        value = settings[name] = _number(value, types[name])
        if not _fits(value, types[name]):
            raise InputError(f"Settings {path} give {name} as {value!r}, which is not {_type_words(types[name])}.")
    return settings


def config_to_dict(config: TrainingConfig) -> dict[str, Any]:
    """Plain values for JSON and YAML; `load_config` reads them back."""
    return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(config).items()}


def _number(value: Any, kind: Any) -> Any:
    """YAML takes 2e-3 for a text; people and json.dumps write it and mean a number."""
    if get_origin(kind) is tuple and isinstance(value, list):
        return [_number(item, get_args(kind)[0]) for item in value]
    if kind is float and isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            return value
    return value


def _settle(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _fits(value: Any, kind: Any) -> bool:
    if get_origin(kind) is tuple:
        return isinstance(value, list) and all(_fits(item, get_args(kind)[0]) for item in value)
    if kind is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, kind)


def _type_words(kind: Any) -> str:
    if get_origin(kind) is tuple:
        return "a list"
    if kind == bool | str:
        return "true or false, or the name of a folder"
    return {int: "a whole number", float: "a number", bool: "true or false"}.get(kind, "a text")
