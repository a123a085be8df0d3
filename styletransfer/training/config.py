"""Everything a training run can be told, once: fields are flags, defaults, YAML keys and the recipe in the pack."""

import argparse
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import MISSING, Field, asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

import yaml

from styletransfer.errors import InputError
from styletransfer.models.discriminator import DISCRIMINATOR_BOUNDS
from styletransfer.models.features import LPIPS_CHANNELS, NETWORKS
from styletransfer.models.generator import BOUNDS
from styletransfer.models.losses import ADVERSARIAL
from styletransfer.training.presets import PRESETS

STYLE_DISTANCES = ("sliced", "gram", "centered-gram")
CONTENT_DISTANCES = ("energy", "normalized", "lpips")
PRECISIONS = ("fp32", "bf16", "fp16")
SIZES = {
    **BOUNDS,
    "discriminator_channels": DISCRIMINATOR_BOUNDS["channels"],
    "discriminator_scales": DISCRIMINATOR_BOUNDS["resolutions"],
}
TRACKERS = ("tensorboard", "trackio", "wandb", "none")


def _flag(default: Any, help: str, choices: Sequence[str] | None = None) -> Any:  # noqa: ANN401 a dataclass field
    return field(default=default, metadata={"help": help, "choices": choices})


@dataclass(frozen=True)
class TrainingConfig:
    """A training run. Sizes in pixels, `*_every` in steps, weights multiply losses."""

    photos: tuple[str, ...] = _flag(
        (),
        "source of photos: a folder, one picture, or on the Hub org/name[@revision][:split][:column][:label=value]; "
        "repeat for more",
    )
    style: tuple[str, ...] = _flag((), "NAME=SOURCE: paintings of a style, a source as above; repeat for more")
    title: tuple[str, ...] = _flag((), "NAME=TITLE: how a style is shown to people; repeat for more")
    note: tuple[str, ...] = _flag((), "NAME=TEXT: painter, source and licence of a style's paintings, for the card")
    streaming: bool = _flag(False, "read sources on the Hub while training, instead of downloading them first")
    shuffle_buffer: int = _flag(256, "pictures of a stream that are shuffled together; twice as many are in memory")
    stream_patience: int = _flag(600, "seconds that a stream which breaks off is tried again")
    output_dir: str = _flag("runs/styletransfer", "folder of checkpoints, samples, logs and the pack")
    license: str = _flag("mit", "licence of the pack, for its card")
    pack_half: bool = _flag(False, "the pack's weights are stored in float16, half as large")
    pack_discriminator: bool = _flag(True, "the pack carries the discriminator, for the page and for fine-tuning")

    steps: int = _flag(10_000, "optimizer updates")
    batch_size: int = _flag(4, "pictures per process and forward pass")
    gradient_accumulation_steps: int = _flag(1, "forward passes per step")
    crop_size: int = _flag(256, "side of a training square")
    photo_scale: tuple[float, ...] = _flag((1.0, 1.6), "least and largest short side of a photo, in crop sizes")
    loss_margin: int = _flag(16, "rim of a crop that no loss looks at, so that no border is learned")
    painting_size: int = _flag(560, "long side of a painting in pixels: how large its strokes become")
    seed: int = _flag(0, "of weights, crops and augmentation")
    workers: int = _flag(0, "processes that load pictures; one at most where sources are streamed")

    channels: int = _flag(64, "width of the generator")
    blocks: int = _flag(8, "residual blocks of the generator")
    grain: float = _flag(0.04, "faint grain laid over photos, from which strokes start where a photo is calm")
    discriminator_channels: int = _flag(32, "width of the discriminator")
    discriminator_scales: int = _flag(2, "resolutions the discriminator looks at")
    spectral_norm: bool = _flag(False, "spectral normalization in the discriminator")

    objective: str = _flag("brushwork", "preset of the weights and rates below, which stand over it", tuple(PRESETS))
    style_loss_weight: float = _flag(1.0, "weight of the style loss")
    deep_style_weight: float = _flag(0.5, "share of the deep part of the style loss, for the sliced distance")
    calm_weight: float = _flag(0.5, "weight of the style loss once more in the calmest place of each photo")
    content_loss_weight: float = _flag(0.2, "weight of the content loss: deep features of the photo are kept")
    content_ramp: float = _flag(
        0.6, "share of the steps over which the content weight rises from a quarter to its full value; 0: full at once"
    )
    tone_weight: float = _flag(0.3, "weight of the tone loss: light and dark stay where the photo has them")
    content_balance: tuple[str, ...] = _flag((), "NAME=FACTOR: content weight of one style, times; repeat for more")
    feature_matching_weight: float = _flag(0.0, "mean activations of deep features as the collection has them")
    adversarial_weight: float = _flag(0.1, "fooling the discriminator")
    adversarial: str = _flag("non-saturating", "form of the adversarial loss", ADVERSARIAL)
    l1_weight: float = _flag(0.0, "pixels of the photo kept")
    color_weight: float = _flag(0.0, "colors of the photo kept, strokes free")
    identity_weight: float = _flag(0.0, "a painting painted again stays as it is")
    contrastive_weight: float = _flag(0.0, "PatchNCE: each place of a painting tells its place in the photo")
    contrastive_identity_weight: float = _flag(0.0, "PatchNCE between a painting and itself painted again")
    contrastive_layers: tuple[int, ...] = _flag(
        (0, 1, 2, 6), "of the generator: 0 pixels, 1 stem, 1 + k residual block k"
    )
    contrastive_patches: int = _flag(256, "places of a picture that are told apart")
    contrastive_channels: int = _flag(256, "numbers that a place is described by")
    contrastive_flips: bool = _flag(False, "in half of the steps places are told from those of the mirrored photo")
    contrastive_temperature: float = _flag(0.07, "the smaller, the more the likest places count")
    cycle_weight: float = _flag(0.0, "a painting of a photo turned back into the photo, and the other way round")
    pool_size: int = _flag(0, "fake pictures of earlier steps kept for the discriminators")
    total_variation_weight: float = _flag(0.0, "smoothness")
    r1_weight: float = _flag(1.0, "gradient penalty of the discriminator (gamma)")
    r1_every: int = _flag(16, "steps between gradient penalties")

    grid_weight: float = _flag(0.1, "gray levels of a regular pattern at periods 4, 8/3 and 2 pixels")
    border_weight: float = _flag(0.0, "rim of the painting that the photo has not: all that is asked of the rim")

    style_distance: str = _flag(
        "sliced", "sliced: Heitz 2021; gram: Gatys 2016; centered-gram: covariances, less color", STYLE_DISTANCES
    )
    style_octaves: int = _flag(3, "resolutions that style is measured at, each half of the one before")
    style_places: int = _flag(1024, "places of a layer that the sliced distance compares")
    style_window: int = _flag(128, "side of the window that style is measured on at full resolution; 0: whole crop")
    calm_size: int = _flag(112, "side of the calmest place that --calm-weight looks for")
    style_patches: int = _flag(1, "n: Gram matrices are also asked of each of n x n patches")
    style_network: str = _flag("vgg19", "network that style is measured in", NETWORKS)
    style_layers: tuple[str, ...] = _flag(("relu1_1", "relu2_1", "relu3_1"), "its layers")
    style_network_weights: str | None = _flag(None, "local safetensors file; torchvision's when absent")
    deep_style_layers: tuple[str, ...] = _flag(
        ("fire3", "fire5", "fire6", "fire7", "fire9"), "layers of the network of content that the deep part looks at"
    )
    content_network: str = _flag("squeezenet1_1", "network that content is measured in", NETWORKS)
    content_layers: tuple[str, ...] = _flag(("fire5", "fire6", "fire7", "fire9"), "its layers")
    content_network_weights: str | None = _flag(None, "local safetensors file; torchvision's when absent")
    feature_matching_layers: tuple[str, ...] = _flag(("fire9",), "of the network of content")
    content_distance: str = _flag(
        "normalized",
        "energy: Johnson 2016; lpips: Zhang 2018; normalized: the same without its heads",
        CONTENT_DISTANCES,
    )
    lpips_weights: str | None = _flag(
        None, "heads of LPIPS for SqueezeNet, a local file: needed for --content-distance lpips"
    )

    learning_rate: float = _flag(1e-3, "Adam learning rate of the generator")
    discriminator_learning_rate: float = _flag(2e-4, "of the discriminator")
    schedule: str = _flag("cosine", "decay of both: a name that diffusers' get_scheduler knows")
    warmup_steps: int = _flag(100, "steps of rising learning rate")
    max_gradient_norm: float = _flag(10.0, "clipping of each network's gradient")
    ema_decay: float = _flag(0.998, "of the averaged generator that goes into the pack")
    mixed_precision: str = _flag("fp32", "arithmetic of training", PRECISIONS)
    cpu: bool = _flag(False, "train on the CPU even where there is a GPU")

    log_every: int = _flag(50, "steps between lines of losses.jsonl and the tracker")
    checkpoint_every: int = _flag(1000, "steps between checkpoints")
    keep_checkpoints: int = _flag(2, "older ones are pruned")
    sample_every: int = _flag(1000, "steps between sample grids")
    sample_photos: str | None = _flag(None, "source of the photos in the grids; the first of the photos when absent")
    tracker: str = _flag("tensorboard", "where losses are drawn", TRACKERS)
    resume: bool = _flag(
        False, "continue from the last checkpoint in output_dir, exactly; learning rates are the checkpoint's"
    )
    initialize_from: str | None = _flag(None, "pack that training starts from, a folder or org/name on the Hub")

    push_to_hub: str | None = _flag(None, "org/name on the Hub: the pack is pushed there at the end")
    private: bool = _flag(False, "make the repository of --push-to-hub a private one")
    push_every: int = _flag(0, "steps between pushes of the pack as it is by then; 0: at the end only")
    hub_checkpoint: bool = _flag(False, "push checkpoints, too; --resume then goes on from there on any machine")

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
            if setting.name.endswith("_layers") and not value:
                raise InputError(f"{flag_name(setting)} is empty: name at least one layer.")
        self._check_together()

    def _check_together(self) -> None:
        for name in ("private", "push_every", "hub_checkpoint"):
            if getattr(self, name) and not self.push_to_hub:
                raise InputError(f"--{name.replace('_', '-')} needs --push-to-hub org/name.")
        if self.ema_decay >= 1:
            raise InputError(f"--ema-decay is {self.ema_decay}: it must be below 1, or the average never moves.")
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


MAY_BE_ZERO = ("seed", "workers", "style_window", "warmup_steps", "loss_margin", "pool_size", "push_every")


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


def parse_config(argv: Sequence[str], prog: str) -> TrainingConfig:
    """Flags over the YAML of `--config` over the preset of the objective over defaults.

    Raises:
        InputError: unreadable or unknown settings. argparse itself exits with code 2 on unknown flags.
    """
    parser = argparse.ArgumentParser(
        prog=prog,
        description="Train styles: photos in, paintings out.",
        epilog=_presets_in_words(),
        formatter_class=_HelpWithLines,
    )
    parser.add_argument(
        "--config",
        metavar="FILE",
        action="append",
        default=[],
        help="YAML file of the settings below, names with underscores; repeat it, and later files stand over earlier",
    )
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    types = get_type_hints(TrainingConfig)
    for setting in fields(TrainingConfig):
        parser.add_argument(flag_name(setting), **_argument(setting, types[setting.name]))
    given = vars(parser.parse_args(argv))
    given.pop("debug")
    settings = _read_all(map(Path, given.pop("config")))
    return configure({**settings, **{name: value for name, value in given.items() if value is not None}})


def configure(settings: Mapping[str, Any]) -> TrainingConfig:
    """A config from settings over the preset of their objective over defaults. Raises InputError as TrainingConfig."""
    preset = PRESETS.get(settings.get("objective", "brushwork"), {})
    return TrainingConfig(**{**preset, **{name: _settle(value) for name, value in settings.items()}})


def load_config(*paths: Path) -> TrainingConfig:
    """YAML (or JSON) files of settings, later over earlier. Raises InputError for an unreadable file or setting."""
    return configure(_read_all(paths))


def _read_all(paths: Iterable[Path]) -> dict[str, Any]:
    return {name: value for path in paths for name, value in _read_settings(path).items()}


def _read_settings(path: Path) -> dict[str, Any]:
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


class _HelpWithLines(argparse.HelpFormatter):
    def _fill_text(self, text: str, width: int, indent: str) -> str:
        fill = super()._fill_text
        return "\n".join(fill(line, width, indent) for line in text.splitlines())


def _presets_in_words() -> str:
    lines = []
    for name, table in PRESETS.items():
        words = ", ".join(f"{setting} {value}" for setting, value in table.items())
        lines.append(f"--objective {name}: {words or 'the defaults above'}")
    return "\n".join(lines)


def _argument(setting: Field, kind: Any) -> dict[str, Any]:  # noqa: ANN401 a type
    default = "" if setting.default in ((), None, MISSING) else f" (default: {setting.default})"
    words: dict[str, Any] = {"help": setting.metadata["help"] + default, "default": None}
    if kind is bool:
        return {**words, "action": argparse.BooleanOptionalAction}
    if get_origin(kind) is tuple:
        inner = get_args(kind)[0]
        many = {"action": "append"} if setting.default == () else {"nargs": "+"}
        return {**words, **many, "type": inner, "metavar": setting.name.upper()}
    kind = str if kind == (str | None) else kind
    return {**words, "type": kind, "choices": setting.metadata["choices"]}


def _number(value: Any, kind: Any) -> Any:  # noqa: ANN401 any setting, any type
    """YAML takes 2e-3 for a text; people and json.dumps write it and mean a number."""
    if get_origin(kind) is tuple and isinstance(value, list):
        return [_number(item, get_args(kind)[0]) for item in value]
    if kind is float and isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            return value
    return value


def _settle(value: Any) -> Any:  # noqa: ANN401 any setting
    return tuple(value) if isinstance(value, list) else value


def _fits(value: Any, kind: Any) -> bool:  # noqa: ANN401 any setting, any type
    if get_origin(kind) is tuple:
        return isinstance(value, list) and all(_fits(item, get_args(kind)[0]) for item in value)
    if kind is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, kind)


def _type_words(kind: Any) -> str:  # noqa: ANN401 a type
    if get_origin(kind) is tuple:
        return "a list"
    return {int: "a whole number", float: "a number", bool: "true or false"}.get(kind, "a text")
