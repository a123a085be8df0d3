"""Places of a picture become directions; which places, only seed and step decide."""

import torch

from styletransfer.training.config import TrainingConfig
from styletransfer.training.game import frozen
from styletransfer.training.networks import PatchHead, build_networks, choose_places, is_mirrored
from styletransfer.training.trainer import adam


def features(count=2):
    source = torch.Generator().manual_seed(0)
    return [torch.randn(count, 6, 5, 4, generator=source), torch.randn(count, 3, 2, 3, generator=source)]


def test_directions_are_those_of_the_places_asked_for():
    torch.manual_seed(0)
    head, layers = PatchHead([6, 3], channels=7), features()
    found = head(layers, [torch.tensor([19, 0, 6]), torch.tensor([5])])
    assert [x.shape for x in found] == [(2, 3, 7), (2, 1, 7)]
    torch.testing.assert_close(torch.cat([x.norm(dim=2).flatten() for x in found]), torch.ones(8))
    by_hand = head.perceptrons[0](layers[0][1, :, 1, 2])  # place 6 of rows of 4
    torch.testing.assert_close(found[0][1, 2], by_hand / by_hand.norm())


def test_places_are_told_by_seed_and_step_and_none_comes_twice():
    layers = features()
    places = choose_places(layers, 10, seed=1, step=5)
    assert [len(chosen) for chosen in places] == [10, 6]  # the second layer has no more
    assert all(len(chosen.unique()) == len(chosen) for chosen in places)
    assert all(torch.equal(a, b) for a, b in zip(places, choose_places(features(1), 10, seed=1, step=5), strict=True))
    for seed, step in ((1, 6), (2, 5)):
        assert not torch.equal(places[0], choose_places(layers, 10, seed, step)[0])


def test_choosing_places_leaves_torchs_random_numbers_alone():
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    choose_places(features(), 4, seed=0, step=0)
    assert torch.equal(torch.rand(3), expected)


def test_half_of_the_steps_are_mirrored_the_same_ones_each_time():
    steps = [is_mirrored(3, step) for step in range(400)]
    assert 150 < sum(steps) < 250
    assert steps == [is_mirrored(3, step) for step in range(400)] != [is_mirrored(4, step) for step in range(400)]


def test_a_discriminator_of_features_trains_its_heads_and_never_the_network_that_sees():
    config = TrainingConfig(
        style=("waves=w.png",),
        channels=8,
        blocks=1,
        discriminator_input="features",
        pack_discriminator=False,
        style_network_weights="random",
    )
    networks = build_networks(config)
    before = {name: tensor.clone() for name, tensor in networks.discriminator.state_dict().items()}
    optimizer = adam(config, networks.judges, 1e-2)
    with frozen(networks.judges):
        pass  # as between the generator's losses and the update: what never learns must not begin to
    pictures = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0)) * 2 - 1
    sum(logits.mean() for logits in networks.discriminator(pictures, torch.ones(1, 1))).backward()
    optimizer.step()
    changed = {name for name, tensor in networks.discriminator.state_dict().items() if (tensor != before[name]).any()}
    assert any(name.startswith("heads.") for name in changed)
    assert not any(name.startswith("features.") for name in changed)
