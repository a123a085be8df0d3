"""Fields are flags, YAML keys and defaults, written once; what cannot be trained is refused in one sentence."""

import json
from dataclasses import Field, FrozenInstanceError, fields
from pathlib import Path

import pytest
import yaml

from styletransfer.errors import InputError
from styletransfer.training.config import (
    BELOW_ONE,
    MAY_BE_ZERO,
    TrainingConfig,
    config_to_dict,
    flag_name,
    load_config,
    pairs,
)
from styletransfer.training.flags import GROUPS, parse_command, parse_config


def other_value(setting: Field) -> object:
    """A value that can be trained and is not the default."""
    value, choices = setting.default, setting.metadata["choices"]
    if setting.name in BELOW_ONE:
        return value / 2 + 0.1
    if setting.name in SPECIAL:
        return SPECIAL[setting.name]
    if choices:
        return next(choice for choice in choices if choice != value)
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + 16
    if isinstance(value, float):
        return value / 2 + 1e-5
    return f"other {setting.name}"


SPECIAL = {
    "photos": ("a", "b/c d"),
    "resume": "runs/other",
    "style": ("wave=w=1.jpg", "night=n.jpg"),
    "title": ("night=Night: a <b>",),
    "note": ("wave=Hokusai, 1831",),
    "content_balance": ("wave=0.5",),
    "photo_scale": (1.25, 2.0),
    "style_layers": ("relu1_1", "relu4_1"),
    "content_layers": ("relu2_1", "relu1_2"),
    "feature_matching_layers": ("relu3_1", "relu4_2"),
    "contrastive_layers": (1, 3),
    "workers": 1,
    "crop_size": 512,
    "discriminator_scales": 3,
    "style_octaves": 2,
    "deep_style_layers": ("fire2", "fire4"),
    "style_patches": 3,
}
OTHER = TrainingConfig(**{setting.name: other_value(setting) for setting in fields(TrainingConfig)})
NAMES = [setting.name for setting in fields(TrainingConfig)]


def parse(*argv: object) -> TrainingConfig:
    return parse_config([str(part) for part in argv], "train")


def as_flags(config: TrainingConfig) -> list[str]:
    argv = []
    for setting in fields(config):
        value, flag = getattr(config, setting.name), flag_name(setting)
        if setting.name == "resume" and isinstance(value, str):
            argv += [flag, value]
        elif isinstance(value, bool):
            argv.append(flag if value else flag.replace("--", "--no-", 1))
        elif isinstance(value, tuple):
            argv += [flag, *map(str, value)] if setting.default else [part for item in value for part in (flag, item)]
        elif value is not None:
            argv += [flag, str(value)]
    return argv


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def refusal(call: object, *arguments: object, **settings: object) -> str:
    """The one sentence of the error."""
    with pytest.raises(InputError) as caught:
        call(*arguments, **settings)
    message = str(caught.value)
    assert "\n" not in message
    assert message.endswith(".")
    return message


# ---------------------------------------------------------------- three ways to say the same


def test_of_several_files_the_later_stands_over_the_earlier(tmp_path: Path) -> None:
    common = write(tmp_path / "common.yaml", "steps: 7\ncrop_size: 128\n")
    own = write(tmp_path / "own.yaml", "steps: 9\nstyle: [wave=w]\n")
    config = parse("--config", common, "--config", own, "--batch-size", "3")
    assert (config.steps, config.crop_size, config.style, config.batch_size) == (9, 128, ("wave=w",), 3)
    assert load_config(own, common).steps == 7


@pytest.mark.parametrize("name", NAMES)
def test_the_other_value_differs_from_the_default(name: str) -> None:
    assert getattr(OTHER, name) != getattr(TrainingConfig(), name)  # or the tests below see nothing


def test_every_setting_is_a_flag() -> None:
    assert parse(*as_flags(OTHER)) == OTHER


def test_without_flags_every_setting_is_its_default() -> None:
    assert parse() == TrainingConfig()
    assert parse("--debug") == TrainingConfig()
    assert parse(*as_flags(TrainingConfig())) == TrainingConfig()


@pytest.mark.parametrize("config", [OTHER, TrainingConfig()], ids=["other", "default"])
@pytest.mark.parametrize("dump", [json.dumps, yaml.safe_dump])
def test_settings_written_to_a_file_are_read_back(config: TrainingConfig, dump: object, tmp_path: Path) -> None:
    path = write(tmp_path / "settings", dump(config_to_dict(config)))
    assert load_config(path) == config
    assert parse("--config", path) == config


def test_flags_stand_over_the_file_and_the_file_over_the_defaults(tmp_path: Path) -> None:
    lines = ["steps: 20", "spectral_norm: true", "photos: [one, two]", "photo_scale: [1, 2]", "l1_weight: 1"]
    path = write(tmp_path / "settings.yaml", "\n".join([*lines, "style_network_weights: null"]))
    config = parse("--config", path)
    assert (config.steps, config.spectral_norm, config.photos, config.photo_scale) == (20, True, ("one", "two"), (1, 2))
    assert config.batch_size == TrainingConfig().batch_size
    over = parse("--steps", 30, "--config", path, "--no-spectral-norm", "--photos", "three", "--l1-weight", 0)
    assert (over.steps, over.spectral_norm, over.photos, over.l1_weight) == (30, False, ("three",), 0)
    assert over.photo_scale == config.photo_scale


def test_an_empty_file_of_settings_changes_nothing(tmp_path: Path) -> None:
    assert load_config(write(tmp_path / "empty.yaml", "# nothing yet\n")) == TrainingConfig()


@pytest.mark.parametrize("text", ["2e-3", "2.0e-3", "0.002", "2E-3"])
def test_a_number_may_be_written_as_people_write_it(text: str, tmp_path: Path) -> None:
    assert load_config(write(tmp_path / "settings.yaml", f"learning_rate: {text}\n")).learning_rate == 0.002


def test_help_lists_every_flag_with_its_meaning_and_default(capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit) as caught:
        parse("--help")
    shown = " ".join(capsys.readouterr().out.split())
    assert caught.value.code == 0
    for setting in fields(TrainingConfig):
        assert flag_name(setting) in shown
        assert setting.metadata["help"] in shown
    assert "(default: 10000)" in shown and "(default: relu1_1 relu2_1 relu3_1)" in shown


def test_help_comes_in_groups_and_every_line_of_it_is_a_sentence(capsys: pytest.CaptureFixture) -> None:
    assert set(GROUPS) <= set(NAMES)
    for setting in fields(TrainingConfig):
        assert setting.metadata["help"][0].isupper() and setting.metadata["help"].endswith("."), setting.name
    with pytest.raises(SystemExit):
        parse("--help")
    lines = capsys.readouterr().out.splitlines()
    assert [line[:-1] for line in lines if line.endswith(":") and not line.startswith(" ")][1:] == list(GROUPS.values())
    assert lines[0] == "usage: train --photos SOURCE --style NAME=SOURCE [settings]" and lines[1] == ""


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["--stepz", "3"], "error: there is no --stepz; did you mean --steps? See train --help."),
        (["--xyzzy=3"], "error: there is no --xyzzy. See train --help."),
        (["photo.jpg"], "error: there is no photo.jpg. See train --help."),
        (["--steps", "many"], "error: argument --steps: invalid int value: 'many'. See train --help."),
    ],
)
def test_a_wrong_flag_is_one_line_without_the_usage(argv: list[str], said: str, capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit):
        parse(*argv)
    assert capsys.readouterr().err == said + "\n"


def test_resume_takes_a_folder_or_none() -> None:
    assert parse("--resume").resume is True and parse("--no-resume").resume is parse().resume is False
    assert parse("--resume", "runs/a", "--steps", 3).resume == "runs/a"


def test_a_token_is_no_part_of_the_recipe() -> None:
    config, token = parse_command(["--hub-token", "hf_secret"], "train")
    assert token == "hf_secret" and "hf_secret" not in json.dumps(config_to_dict(config))


def test_a_config_cannot_be_changed_by_accident() -> None:
    with pytest.raises(FrozenInstanceError):
        TrainingConfig().steps = 3


# ---------------------------------------------------------------- styles


def test_styles_keep_their_order_and_get_titles() -> None:
    assert list(OTHER.style_sources.items()) == [("wave", "w=1.jpg"), ("night", "n.jpg")]
    assert list(OTHER.style_titles.items()) == [("wave", "Wave"), ("night", "Night: a <b>")]
    assert TrainingConfig(style=("great-wave=x",)).style_titles == {"great-wave": "Great Wave"}


@pytest.mark.parametrize("text", ["night", "=n.jpg", "night=", "="])
def test_a_style_without_name_or_source_is_refused(text: str) -> None:
    message = refusal(lambda: TrainingConfig(style=(text,)).style_sources)
    assert repr(text) in message
    assert "--style" in message


def test_a_style_given_twice_is_refused() -> None:
    assert "'night' twice" in refusal(pairs, "--style", ("night=a", "wave=b", "night=c"))


# ---------------------------------------------------------------- what cannot be trained

WHOLE = [setting.name for setting in fields(TrainingConfig) if setting.type is int]
REAL = [setting.name for setting in fields(TrainingConfig) if setting.type is float]


@pytest.mark.parametrize("name", WHOLE)
def test_counts_must_be_positive(name: str) -> None:
    flag = "--" + name.replace("_", "-")
    assert flag in refusal(TrainingConfig, **{name: -1})
    if name in MAY_BE_ZERO:
        assert getattr(TrainingConfig(**{name: 0}), name) == 0
    else:
        assert flag in refusal(TrainingConfig, **{name: 0})


@pytest.mark.parametrize("name", REAL)
@pytest.mark.parametrize("value", [-0.1, float("nan"), float("inf")])
def test_weights_and_rates_must_be_finite_and_not_negative(name: str, value: float) -> None:
    assert "--" + name.replace("_", "-") in refusal(TrainingConfig, **{name: value})


@pytest.mark.parametrize(
    ("settings", "flag"),
    [
        ({"crop_size": 100}, "--crop-size"),
        ({"photo_scale": (2.0, 1.0)}, "--photo-scale"),
        ({"photo_scale": (0.5, 1.0)}, "--photo-scale"),
        ({"photo_scale": (1.5,)}, "--photo-scale"),
        ({"photo_scale": (1.0, float("nan"))}, "--photo-scale"),
        ({"photo_scale": (1.0, float("inf"))}, "--photo-scale"),
        ({"ema_decay": 1.0}, "--ema-decay"),  # the average would never leave its start
        ({"style_layers": ()}, "--style-layers"),
        ({"content_layers": ()}, "--content-layers"),
        ({"channels": 512}, "--channels"),  # no pack of that size can be loaded
        ({"channels": 2}, "--channels"),
        ({"blocks": 64}, "--blocks"),
        ({"adversarial": "wasserstein"}, "--adversarial"),
        ({"style_network": "resnet"}, "--style-network"),
        ({"content_distance": "l2"}, "--content-distance"),
        ({"mixed_precision": "fp8"}, "--mixed-precision"),
        ({"tracker": "mlflow"}, "--tracker"),
    ],
)
def test_values_out_of_range_are_refused_by_flag(settings: dict, flag: str) -> None:
    assert flag in refusal(TrainingConfig, **settings)


def test_an_unknown_choice_lists_the_known() -> None:
    message = refusal(TrainingConfig, adversarial="wasserstein")
    assert all(known in message for known in ("'wasserstein'", "non-saturating", "hinge", "least-squares"))


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("step: 5", "'step'"),
        ("crop-size: 64", "'crop-size'"),
        ("1: 2", "1"),
        ("steps: many", "whole number"),
        ("steps: 1.5", "whole number"),
        ("steps: true", "whole number"),
        ("steps: null", "whole number"),
        ("learning_rate: fast", "a number"),
        ("learning_rate: true", "a number"),
        ("resume: 1", "true or false"),
        ("photos: folder", "a list"),
        ("photos: [1]", "a list"),
        ("photo_scale: [1, wide]", "a list"),
        ("output_dir: 3", "a text"),
        ("style_network_weights: [a]", "a text"),
        ("- steps", "name: value"),
        ("just words", "name: value"),
        ("steps: [", "cannot be read"),
        ("steps: !!python/object/apply:os.getcwd []", "cannot be read"),
        ("steps: 0", "--steps"),
    ],
)
def test_a_faulty_file_of_settings_is_refused(text: str, named: str, tmp_path: Path) -> None:
    path = write(tmp_path / "settings.yaml", text)
    assert named in refusal(load_config, path)
    assert named in refusal(parse, "--config", path)


def test_a_file_of_settings_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00\x80")
    for name in ("none.yaml", "binary.yaml", "."):
        assert str(tmp_path / name) in refusal(load_config, tmp_path / name)


@pytest.mark.parametrize(
    "argv",
    [["--stepz", "3"], ["--steps", "many"], ["--steps"], ["--adversarial", "w"], ["photo.jpg"], ["--photo-scale", "a"]],
)
def test_argparse_itself_ends_a_wrong_command_line_with_code_2(argv: list[str], capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit) as caught:
        parse(*argv)
    assert caught.value.code == 2
    assert "error:" in capsys.readouterr().err


@pytest.mark.parametrize("argv", [["--steps", "0"], ["--learning-rate", "-1"], ["--photo-scale", "2"]])
def test_flags_that_cannot_be_trained_are_refused(argv: list[str]) -> None:
    assert argv[0] in refusal(parse, *argv)
