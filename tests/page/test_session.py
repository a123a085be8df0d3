"""A session answers as the pipeline does, and runs the network only when it must."""

import numpy as np
import pytest
import torch
from painting_kit import STYLES, farthest, refusal
from PIL import Image
from small_generators import random_generator

from styletransfer.images.files import load_picture
from styletransfer.page.session import Session
from styletransfer.pipeline import StyleTransferPipeline
from styletransfer.settings import PaintSettings


class Counting(StyleTransferPipeline):
    runs = 0

    def paint_steps(self, *arguments, **settings):
        self.runs += 1
        return super().paint_steps(*arguments, **settings)


@pytest.fixture
def painter():
    return Counting(random_generator(STYLES), device="cpu", dtype=torch.float32)


MASK = Image.linear_gradient("L").point(lambda level: 255 * (level > 128))
TURNS = [
    {},
    {"strength": 0.5},
    {"strength": 0},
    {"keep_colors": True},
    {"mask": MASK},
    {"strength": 0.3, "keep_colors": True, "mask": MASK},
    {"brush_size": 2, "strength": 0.7},
]


def test_every_turn_equals_the_pipelines_picture_bit_for_bit(painter, photo):
    session = Session(photo)
    for turn in TURNS:
        assert farthest(session.render(painter, PaintSettings("wave", **turn)), painter(photo, "wave", **turn)) == 0
    assert (
        farthest(session.render(painter, PaintSettings({"wave": 1, "alps": 2})), painter(photo, {"wave": 1, "alps": 2}))
        == 0
    )


def test_strength_colors_and_mask_never_run_the_network_again(painter, photo):
    session = Session(photo)
    for turn in TURNS[:-1]:
        session.render(painter, PaintSettings("wave", **turn))
    assert painter.runs == 1
    session.render(painter, PaintSettings({"wave": 1.0}))  # the same style in other words
    session.render(painter, PaintSettings("wave", brush_size=2))
    session.render(painter, PaintSettings("night"))
    assert painter.runs == 3
    session.render(painter, PaintSettings("wave", strength=0.2))
    assert painter.runs == 3


def test_two_packs_do_not_take_each_others_paintings(painter, photo):
    other = StyleTransferPipeline(random_generator(STYLES), device="cpu", dtype=torch.float32)
    torch.nn.init.constant_(other.generator.to_rgb.bias, 2.0)
    session = Session(photo)
    session.render(painter, PaintSettings("wave"))
    assert farthest(session.render(other, PaintSettings("wave")), other(photo, "wave")) == 0


def test_only_so_many_paintings_are_kept(painter, photo):
    session = Session(photo)
    for step in range(2, 8):
        session.render(painter, PaintSettings("wave", brush_size=step / 2))
    assert len(session._paintings[painter]) == 4


def test_a_large_photo_is_shown_smaller_and_strokes_stay_as_they_look(painter, photo):
    large = photo.resize((960, 800), Image.Resampling.BICUBIC)
    session = Session(large, side=96)
    assert session.picture.size == (96, 80) and session.full_size == (960, 800)
    assert session.render(painter, PaintSettings("wave")).size == (96, 80)
    assert Session(Image.new("RGB", (3000, 20)), side=96).picture.size == (96, 16)


def test_transparency_is_shown(painter, photo):
    photo.putalpha(Image.linear_gradient("L").resize(photo.size))
    shown = Session(photo).render(painter, PaintSettings("wave", strength=0.5))
    np.testing.assert_array_equal(np.asarray(shown)[..., 3], np.asarray(photo)[..., 3])
    assert load_picture(photo).alpha is not None


def test_faults_are_told_as_the_pipeline_tells_them(painter, photo):
    session = Session(photo)
    assert "'monet'" in refusal(session.render, painter, PaintSettings("monet"))
    for size in ((15, 40), (1, 1), (1000, 1)):
        small = Image.new("RGB", size)
        assert refusal(Session, small) == refusal(painter, small, "wave")


def test_what_a_session_hands_out_may_be_spoiled_without_harm(painter, photo):
    """Whoever drew on it, or made it smaller in place, changed the photo and the painting of all who came later."""
    photo.putalpha(Image.linear_gradient("L").resize(photo.size))
    for given in (photo.convert("RGB"), photo):
        session, expected = Session(given), [painter(given, "wave", **turn) for turn in TURNS]
        session.paint_ahead(painter, "night")
        ahead = painter(given, "night")
        runs = painter.runs
        for _ in range(2):
            pictures = [session.render(painter, PaintSettings("wave", **turn)) for turn in TURNS]
            assert all(farthest(*pair) == 0 for pair in zip(pictures, expected, strict=True))
            assert farthest(pictures[2], session.picture.compose()) == 0  # at strength 0 it is the photo
            painted_ahead = session.render(painter, PaintSettings("night"))
            assert farthest(painted_ahead, ahead) == 0
            for picture in (
                *pictures,
                painted_ahead,
                session.picture.rgb,
                session.picture.alpha,
                session.picture.compose(),
            ):
                if picture:
                    picture.paste(0, (0, 0, *picture.size))
                    picture.thumbnail((20, 20))
        assert painter.runs == runs + 2  # two brushes, painted once each


def test_at_strength_0_the_caller_gets_a_picture_of_its_own(painter, photo):
    given = load_picture(photo)
    painter(given, "wave", strength=0).thumbnail((20, 20))
    assert given.rgb.size == photo.size
