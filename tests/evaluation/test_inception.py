"""The network of FID is torchvision's with TensorFlow's pooling and scaling, and reads only its own weights."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torchvision.models import inception

from styletransfer.errors import InputError
from styletransfer.evaluation.inception import FidInception, _resize


@pytest.fixture(scope="module")
def reference() -> inception.Inception3:
    """torchvision's network with 1,008 classes, random but lively."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = inception.Inception3(num_classes=1008, aux_logits=False, init_weights=False)
        for layer in network.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_uniform_(layer.weight, nonlinearity="relu")
            if isinstance(layer, nn.BatchNorm2d):
                nn.init.normal_(layer.running_mean, std=0.1)
    return network.eval()


@pytest.fixture(scope="module")
def weights(reference: inception.Inception3, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("inception") / "fid.pth"
    torch.save({key: value for key, value in reference.state_dict().items() if "num_batches" not in key}, path)
    return path


@torch.no_grad()
def test_features_are_those_of_torchvisions_network_with_other_pooling(
    reference: inception.Inception3, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture = torch.randint(0, 256, (1, 3, 299, 299), generator=torch.Generator().manual_seed(0)) / 127.5 - 1
    found = FidInception(weights)(picture)
    mean_pool, max_pool = nn.functional.avg_pool2d, nn.functional.max_pool2d

    def pool(x: torch.Tensor, kernel_size: int, stride: int, padding: int) -> torch.Tensor:
        if x.shape[1] == 2048:  # the last block takes the largest
            return max_pool(x, kernel_size, stride, padding)
        return mean_pool(x, kernel_size, stride, padding, count_include_pad=False)

    monkeypatch.setattr(inception.F, "avg_pool2d", pool)
    reference.fc = nn.Identity()
    expected = reference(((picture + 1) * 127.5 - 128) / 128)
    assert expected.shape == (1, 2048) and expected.std() > 0.1
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_scaling_begins_at_the_first_pixel() -> None:
    ramp = torch.arange(598.0).view(1, 1, 1, -1).expand(1, 3, 4, 598)
    scaled = _resize(ramp)
    assert scaled.shape == (1, 3, 299, 299)
    assert scaled[0, 0, 0].tolist() == pytest.approx([2.0 * i for i in range(299)])
    small = _resize(torch.tensor([[0.0, 299.0]]).view(1, 1, 1, 2))[0, 0, 0]
    assert small[:150].tolist() == pytest.approx([2.0 * i for i in range(150)], abs=1e-3)
    assert small[150:].tolist() == pytest.approx([299.0] * 149)  # beyond the last pixel nothing is invented


def test_weights_of_another_network_are_refused_by_the_first_that_lacks(tmp_path: Path) -> None:
    save_file({"Conv2d_1a_3x3.conv.weight": torch.ones(32, 3, 3, 3)}, tmp_path / "other.safetensors")
    with pytest.raises(InputError, match=r"other\.safetensors lack Conv2d_1a_3x3\.bn\.weight.*2015-12-05"):
        FidInception(tmp_path / "other.safetensors")


def test_files_that_hold_no_tensors_are_refused(tmp_path: Path) -> None:
    torch.save(["a list"], tmp_path / "list.pth")
    torch.save(nn.Linear(1, 1), tmp_path / "module.pth")  # only a loader that runs code could read it
    for name in ("list.pth", "module.pth", "absent.pth", "absent.safetensors"):
        with pytest.raises(InputError, match=r"Inception weights .*" + name) as caught:
            FidInception(tmp_path / name)
        assert "\n" not in str(caught.value)
