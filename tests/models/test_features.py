"""Features are torchvision's own activations, from as many layers as a file holds."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torchvision.models import SqueezeNet1_1_Weights, squeezenet, vgg

from styletransfer.errors import InputError
from styletransfer.models.features import NETWORKS, Features, layer_indices

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet, as torchvision documents its weights
VGG_TABLE = {"vgg16": "D", "vgg19": "E"}  # Simonyan & Zisserman's letters


def build_trunk(network: str) -> nn.Sequential:
    """Torchvision's own layers with random weights (without the classifier, which is most of a VGG)."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        if network in VGG_TABLE:
            trunk = vgg.make_layers(vgg.cfgs[VGG_TABLE[network]], batch_norm=False)
        else:
            trunk = squeezenet.squeezenet1_1(weights=None).features
    return trunk.eval()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("features")


@pytest.fixture(scope="module")
def trunks(folder: Path) -> dict[str, nn.Sequential]:
    """Each network's layers, whose weights are in `folder` as well."""
    found = {network: build_trunk(network) for network in NETWORKS}
    for network, trunk in found.items():
        state = {f"features.{key}": value for key, value in trunk.state_dict().items()}
        save_file(state, folder / f"{network}.safetensors")
    # VGG-16 up to relu2_1 only: convolutions 0, 2 and 5.
    state = load_file(folder / "vgg16.safetensors")
    first = {key: value for key, value in state.items() if int(key.split(".")[1]) <= 5}
    save_file(first, folder / "first.safetensors")
    return found


@pytest.fixture(scope="module")
def first_layers(folder: Path, trunks: dict) -> Path:
    return folder / "first.safetensors"


def random_picture(count: int = 1, side: int = 64) -> Tensor:
    return torch.rand(count, 3, side, side + 16, generator=torch.Generator().manual_seed(0)) * 2 - 1


def activations_by_name(network: str, trunk: nn.Sequential, picture: Tensor) -> dict[str, Tensor]:
    """Every named activation, names and all worked out from the kinds of torchvision's modules."""
    x = ((picture + 1) / 2 - torch.tensor(MEAN).view(1, 3, 1, 1)) / torch.tensor(STD).view(1, 3, 1, 1)
    named, block, place, fire = {}, 1, 0, 1
    for layer in trunk:
        x = layer(x.clone())  # torchvision's ReLU works in place
        kind = type(layer).__name__
        if kind == "MaxPool2d":
            block, place = block + 1, 0
        elif kind == "ReLU":
            place += 1
            named[f"relu{block}_{place}" if network in VGG_TABLE else "relu1"] = x
        elif kind == "Fire":
            fire += 1
            named[f"fire{fire}"] = x
    return named


@torch.no_grad()
@pytest.mark.parametrize(("network", "count"), [("vgg19", 16), ("vgg16", 13), ("squeezenet1_1", 9)])
def test_every_layer_is_the_activation_of_torchvisions_module(
    network: str, count: int, folder: Path, trunks: dict
) -> None:
    expected = activations_by_name(network, trunks[network], random_picture())
    assert list(layer_indices(network)) == list(expected)
    assert len(expected) == count
    features = Features(network, tuple(expected), weights=folder / f"{network}.safetensors")
    for name, seen in zip(expected, features(random_picture()), strict=True):
        assert expected[name].std() > 0, name
        torch.testing.assert_close(seen, expected[name], rtol=1e-4, atol=1e-6, msg=name)


@torch.no_grad()
def test_layers_come_in_the_order_they_were_asked_for(first_layers: Path) -> None:
    deep, shallow = Features("vgg16", ("relu2_1", "relu1_1"), weights=first_layers)(random_picture(2))
    assert deep.shape == (2, 128, 32, 40)
    assert shallow.shape == (2, 64, 64, 80)
    again = Features("vgg16", ("relu1_1", "relu2_1"), weights=str(first_layers))(random_picture(2))
    assert torch.equal(again[0], shallow)
    assert torch.equal(again[1], deep)


@torch.no_grad()
def test_some_of_the_layers_alone_are_the_same(first_layers: Path) -> None:
    features = Features("vgg16", ("relu1_2", "relu2_1", "relu1_1"), weights=first_layers)
    everything, some = features(random_picture()), features(random_picture(), layers=("relu1_1", "relu1_2"))
    assert len(some) == 2
    assert torch.equal(some[0], everything[2]) and torch.equal(some[1], everything[0])


@torch.no_grad()
def test_random_filters_are_always_the_same_and_keep_the_strength_of_a_picture() -> None:
    state = torch.get_rng_state()
    features = Features("squeezenet1_1", ("relu1", "fire3"), weights="random")
    assert torch.equal(torch.get_rng_state(), state)
    torch.rand(1)
    again = Features("squeezenet1_1", ("relu1", "fire3"), weights="random")
    for one, other in zip(features(random_picture()), again(random_picture()), strict=True):
        assert torch.equal(one, other)
        assert 0.1 < one.square().mean().sqrt() < 10


def test_networks_are_frozen_and_pictures_are_not(first_layers: Path) -> None:
    features = Features("vgg16", ("relu2_1",), weights=first_layers)
    assert not any(values.requires_grad for values in features.parameters())
    assert not features.training
    picture = random_picture().requires_grad_()
    features(picture)[0].sum().backward()
    assert picture.grad.abs().max() > 0


def test_weights_in_half_precision_are_used_in_float32(first_layers: Path, tmp_path: Path) -> None:
    save_file({key: value.half() for key, value in load_file(first_layers).items()}, tmp_path / "half.safetensors")
    features = Features("vgg16", ("relu2_1",), weights=tmp_path / "half.safetensors")
    assert {values.dtype for values in features.parameters()} == {torch.float32}
    expected = Features("vgg16", ("relu2_1",), weights=first_layers)(random_picture())[0]
    torch.testing.assert_close(features(random_picture())[0], expected, rtol=1e-2, atol=1e-3)


def test_reflect_padding_leaves_no_frame_and_the_inside_alone(first_layers: Path) -> None:
    zeros, reflect = (Features("vgg16", ("relu2_1",), first_layers, padding=kind) for kind in ("zeros", "reflect"))
    even = torch.full((1, 3, 40, 40), 0.25)
    assert (reflect(even)[0] - reflect(even)[0][..., 9:10, 9:10]).abs().max() <= 1e-5
    assert (zeros(even)[0] - zeros(even)[0][..., 9:10, 9:10]).abs().max() > 1e-3
    framed, plain = zeros(random_picture())[0], reflect(random_picture())[0]
    torch.testing.assert_close(plain[..., 3:-3, 3:-3], framed[..., 3:-3, 3:-3])
    assert not torch.allclose(plain, framed)


def test_reflect_padding_reaches_the_convolutions_inside_a_fire_module(folder: Path, trunks: dict) -> None:
    features = Features("squeezenet1_1", ("fire3",), folder / "squeezenet1_1.safetensors", padding="reflect")
    seen = features(torch.full((1, 3, 65, 65), -0.5))[0]
    assert seen.std() > 0
    assert (seen - seen[..., :1, :1]).abs().max() <= 1e-5


def test_without_a_file_torchvisions_pretrained_weights_are_used(
    monkeypatch: pytest.MonkeyPatch, folder: Path, trunks: dict, tmp_path: Path
) -> None:
    """Where torchvision keeps its downloads stands a file of our weights, so nothing is downloaded."""
    place = tmp_path / "hub" / "checkpoints" / Path(SqueezeNet1_1_Weights.IMAGENET1K_V1.url).name
    place.parent.mkdir(parents=True)
    state = squeezenet.squeezenet1_1(weights=None).state_dict()
    state.update({f"features.{key}": value for key, value in trunks["squeezenet1_1"].state_dict().items()})
    torch.save(state, place)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    pretrained = Features("squeezenet1_1", ("relu1", "fire5"))
    from_file = Features("squeezenet1_1", ("relu1", "fire5"), weights=folder / "squeezenet1_1.safetensors")
    for ours, theirs in zip(pretrained(random_picture()), from_file(random_picture()), strict=True):
        assert torch.equal(ours, theirs)


def test_building_features_from_a_file_draws_no_random_numbers(first_layers: Path) -> None:
    state = torch.get_rng_state()
    Features("vgg16", ("relu1_1",), weights=first_layers)
    assert torch.equal(torch.get_rng_state(), state)


# ---------------------------------------------------------------- what cannot be used


def refusal(*arguments: object, **settings: object) -> str:
    with pytest.raises(InputError) as caught:
        Features(*arguments, **settings)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_layer_that_the_file_lacks_is_named(first_layers: Path) -> None:
    Features("vgg16", ("relu2_1",), weights=first_layers)
    assert "relu2_2" in refusal("vgg16", ("relu1_1", "relu2_2"), weights=first_layers)
    assert "relu2_2" in refusal("vgg16", ("relu5_3",), weights=first_layers)  # the first that is missing


def test_a_fire_module_that_the_file_lacks_is_named(folder: Path, trunks: dict, tmp_path: Path) -> None:
    state = load_file(folder / "squeezenet1_1.safetensors")
    save_file({key: value for key, value in state.items() if int(key.split(".")[1]) <= 4}, tmp_path / "partial")
    Features("squeezenet1_1", ("fire3",), weights=tmp_path / "partial")
    assert "fire4" in refusal("squeezenet1_1", ("fire2", "fire4"), weights=tmp_path / "partial")


def test_weights_of_another_shape_are_refused(first_layers: Path, tmp_path: Path) -> None:
    state = load_file(first_layers)
    state["features.2.weight"] = torch.zeros(64, 64, 5, 5)
    save_file(state, tmp_path / "wide.safetensors")
    message = refusal("vgg16", ("relu1_2",), weights=tmp_path / "wide.safetensors")
    assert "features.2.weight" in message
    assert "(64, 64, 5, 5)" in message
    Features("vgg16", ("relu1_1",), weights=tmp_path / "wide.safetensors")  # the layer before it is sound


def test_weights_of_another_network_are_refused(folder: Path, trunks: dict) -> None:
    assert "squeezenet" in refusal("vgg16", ("relu1_1",), weights=folder / "squeezenet1_1.safetensors")


def test_weights_that_are_not_numbers_are_refused(first_layers: Path, tmp_path: Path) -> None:
    state = load_file(first_layers)
    state["features.0.bias"][3] = float("nan")
    save_file(state, tmp_path / "nan.safetensors")
    refusal("vgg16", ("relu1_1",), weights=tmp_path / "nan.safetensors")


@pytest.mark.parametrize(
    "content",
    [b"", b"no safetensors at all", b"\xff" * 64, (10**12).to_bytes(8, "little") + b"{}"],
    ids=["empty", "text", "bytes", "huge header"],
)
def test_a_file_that_is_no_safetensors_file_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "weights.safetensors").write_bytes(content)
    assert "weights.safetensors" in refusal("vgg16", ("relu1_1",), weights=tmp_path / "weights.safetensors")


def test_a_truncated_missing_or_pickled_file_is_refused(first_layers: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut.safetensors"
    cut.write_bytes(first_layers.read_bytes()[:-100])
    torch.save(load_file(first_layers), tmp_path / "weights.pt")
    for path in (cut, tmp_path / "weights.pt", tmp_path / "none.safetensors", tmp_path):
        assert path.name in refusal("vgg16", ("relu1_1",), weights=path)


@pytest.mark.parametrize(
    ("network", "layers", "named"),
    [
        ("vgg19", ("relu1_1", "relu9_1"), "relu9_1"),
        ("vgg16", ("relu3_4",), "relu3_4"),  # VGG-19 has it, VGG-16 has not
        ("vgg19", ("fire2",), "fire2"),
        ("squeezenet1_1", ("relu1_1",), "relu1_1"),
        ("resnet50", ("relu1_1",), "resnet50"),
    ],
)
def test_unknown_networks_and_layers_are_named_and_the_known_listed(network: str, layers: tuple, named: str) -> None:
    message = refusal(network, layers, weights="unused")
    assert named in message
    assert all(known in message for known in (NETWORKS if network == "resnet50" else layer_indices(network)))


@pytest.mark.parametrize("settings", [{"layers": ()}, {"padding": "mirror"}])
def test_no_layers_or_an_unknown_padding_are_refused(settings: dict, first_layers: Path) -> None:
    refusal(**{"network": "vgg16", "layers": ("relu1_1",), "weights": first_layers, **settings})
