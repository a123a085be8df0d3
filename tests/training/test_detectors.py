"""Every detector speaks up about a planted fault, names it, and is silent on what is as it should be."""

import pytest
import torch
import torch.nn.functional as F

from styletransfer.training import detectors
from styletransfer.training.detectors import ADVICE, SAMPLE_FAULTS, SAMPLE_LOOKS, WON_LINES, Detectors, Samples, Streak


def picture(seed, height=192, width=256, coarse=24, grain=0.1):
    """Smooth places with a little grain: nothing in it repeats."""
    source = torch.Generator().manual_seed(seed)
    shape = (1, 3, height // coarse, width // coarse)
    smooth = F.interpolate(torch.rand(shape, generator=source) * 1.8 - 0.9, (height, width), mode="bicubic")
    return (smooth + grain * torch.randn(1, 3, height, width, generator=source)).clamp(-1, 1)


PHOTOS = [picture(seed) for seed in range(4)]
PAINTINGS = [picture(20, 320, 384)]


def repaint(photo, seed):
    """Another texture and another palette on the large shapes of the photo, as a style is."""
    shapes = F.interpolate(F.avg_pool2d(photo, 16), photo.shape[-2:], mode="bicubic")
    return (0.6 * shapes.flip(1) + 0.5 * picture(seed, coarse=16)).clamp(-1, 1)


HEALTHY = Samples(PHOTOS, [repaint(photo, 40 + n) for n, photo in enumerate(PHOTOS)], PAINTINGS)


def grid(period):
    wave = torch.cos(2 * torch.pi * torch.arange(256) / period).view(1, 1, 1, -1) * 8 / 127.5
    return [(painting + wave).clamp(-1, 1) for painting in HEALTHY.painted]


def pieces():
    """Photos pasted over with places of the painting, none of them on the lattice that it is looked at on."""
    return [PAINTINGS[0][..., 10 * n : 192 + 10 * n, 30 * n : 256 + 30 * n] for n in range(4)]


PLANTED = {
    "alike": [HEALTHY.painted[0] + 0.02 * torch.randn(1, 3, 192, 256) for _ in PHOTOS],
    "untouched": [(photo + 0.02).clamp(-1, 1) for photo in PHOTOS],
    "copied": pieces(),
    "grid": grid(4),
    "color": [(painting * 0.1 + torch.tensor([0.9, -0.9, 0.9]).view(1, 3, 1, 1)) for painting in HEALTHY.painted],
}


def test_there_is_a_plant_for_every_detector():
    assert PLANTED.keys() == SAMPLE_FAULTS.keys() == ADVICE.keys() - {"wins"}


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_fault_is_found_and_the_healthy_is_not_it(name):
    found = SAMPLE_FAULTS[name][0]
    assert found(HEALTHY._replace(painted=PLANTED[name]))
    assert not found(HEALTHY)


@pytest.mark.parametrize("period", [8 / 3, 2])
def test_a_grid_is_found_at_the_other_periods_too_and_not_where_the_paintings_have_it(period):
    planted = HEALTHY._replace(painted=grid(period))
    assert detectors.has_grid(planted)
    assert not detectors.has_grid(planted._replace(paintings=planted.painted))
    assert not detectors.has_grid(planted._replace(photos=planted.painted))


def test_a_pattern_that_the_painting_itself_repeats_is_no_copy():
    y, x = torch.meshgrid(torch.arange(320), torch.arange(384), indexing="ij")
    dots = ((x % 16 - 8) ** 2 + (y % 16 - 8) ** 2 < 30).float() * 1.5 - 0.7
    dots = dots.expand(1, 3, 320, 384)
    samples = Samples(PHOTOS, [dots[..., n : 192 + n, :256] for n in range(4)], [dots])
    assert detectors._copied(detectors._patches(F.avg_pool2d(samples.painted[0], 2), 12)[0], F.avg_pool2d(dots, 2)) == 1
    assert not detectors.are_copied(samples)


def test_one_photo_is_never_alike_and_small_paintings_are_never_copied():
    one = Samples(PHOTOS[:1], HEALTHY.painted[:1], [picture(1, 48, 48, coarse=8)])
    assert not detectors.are_alike(one) and not detectors.are_copied(one)


def test_colors_on_the_way_from_photo_to_painting_are_no_drift():
    """However far the style's palette is from the photos'."""
    red = [torch.tensor([1.0, -1.0, -1.0]).view(1, 3, 1, 1).expand(1, 3, 128, 128)]
    half = [photo * 0.3 + 0.7 * red[0][..., :1, :1] for photo in PHOTOS]
    assert not detectors.has_strange_colors(Samples(PHOTOS, half, red))
    assert detectors.has_strange_colors(Samples(PHOTOS, half, PAINTINGS))


def test_sentences_name_style_step_and_remedy_once():
    watch, planted = Detectors("hinge"), HEALTHY._replace(painted=PLANTED["untouched"])
    assert [watch.samples(step, "night", planted) for step in range(1000, 1000 * SAMPLE_LOOKS, 1000)] == [
        [] for _ in range(SAMPLE_LOOKS - 1)
    ]
    (said,) = watch.samples(1000 * SAMPLE_LOOKS, "night", planted)
    assert "hardly more than the photos in style night since step 1000" in said
    assert ADVICE["untouched"] in said
    assert watch.samples(5000, "night", planted) == []  # it has been said
    assert watch.samples(6000, "night", HEALTHY) == []
    assert [len(watch.samples(step, "night", planted)) for step in (7000, 8000)] == [0, 1]  # it came back


def test_styles_are_watched_apart():
    watch, planted = Detectors("hinge"), HEALTHY._replace(painted=PLANTED["untouched"])
    assert watch.samples(1, "night", planted) == watch.samples(2, "waves", planted) == []


@pytest.mark.parametrize(("adversarial", "lost"), [("non-saturating", 0.01), ("hinge", 0.02), ("least-squares", 0.005)])
def test_a_discriminator_that_wins_everywhere_is_named(adversarial, lost):
    watch = Detectors(adversarial)
    lines = [{"discriminator": 0.8, "adversarial": 1.0}] + [{"discriminator": lost, "adversarial": 3.0}] * (
        WON_LINES + 3
    )
    said = [watch.losses(100 + 50 * number, line) for number, line in enumerate(lines)]
    assert [bool(sentences) for sentences in said] == [False] * WON_LINES + [True] + [False] * 3
    assert "discriminator of paintings wins everywhere since step 150" in said[WON_LINES][0]
    assert "--discriminator-learning-rate" in said[WON_LINES][0]


def test_both_discriminators_are_watched():
    watch, line = Detectors("hinge"), {"discriminator": 1.0, "adversarial": 1.0}
    line |= {"discriminator_photo": 0.0, "adversarial_photo": 1.0}
    said = [sentence for step in range(WON_LINES) for sentence in watch.losses(step, line)]
    assert len(said) == 1 and "discriminator of photos" in said[0]


@pytest.mark.parametrize(
    "line",
    [
        {"discriminator": 0.6, "adversarial": 0.1},  # the least that a run of the shipped pack saw was 0.78
        {"discriminator": None, "adversarial": None},  # no number
        {"discriminator": 0.0},  # without weight: nobody learns from it
        {"style": 1.0},
    ],
)
def test_a_discriminator_in_the_game_is_not_named(line):
    watch = Detectors("non-saturating")
    assert [watch.losses(step, line) for step in range(3 * WON_LINES)] == [[]] * (3 * WON_LINES)


def test_a_streak_speaks_once_and_knows_its_start():
    streak = Streak(3)
    so = [True, True, False, True, True, True, True, False, True, True, True]
    assert [step for step, value in enumerate(so) if streak.add(step, value)] == [5, 10]
    assert streak.since == 8
