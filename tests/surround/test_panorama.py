"""360-degree pictures: no seam, no pinched poles, rolled as the photo is, and recognized by viewers."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from painting_kit import farthest, pixels
from PIL import Image
from small_generators import random_generator
from sphere_kit import even_sphere, photo_sphere, wave_number

from styletransfer import StyleTransferPipeline
from styletransfer.cli.paint import main
from styletransfer.errors import InputError
from styletransfer.painter import OverlaidPainter
from styletransfer.paths import ROOT, SHIPPED_PACK
from styletransfer.results import read_settings
from styletransfer.surround import sphere
from styletransfer.surround.agreement import joined, ring_of_least
from styletransfer.surround.gpano import is_equirectangular, packet, panorama_properties
from styletransfer.surround.panorama import paint_panorama

FLOAT = {"device": "cpu", "dtype": torch.float32}
HEADED = packet({"PoseHeadingDegrees": "75.5", "FullPanoWidthPixels": "9999"}, (9999, 5000))


def rolled(picture, across):
    return Image.fromarray(np.roll(np.asarray(picture), across, axis=1))


def xmp_of(file):
    with Image.open(file) as image:
        return panorama_properties(image.info["xmp"])[0]


@pytest.fixture(scope="module")
def small():
    return StyleTransferPipeline(random_generator({"red": "Red", "blue": "Blue"}, channels=8, blocks=1), **FLOAT)


@pytest.fixture(scope="module")
def shipped():
    return StyleTransferPipeline.from_pretrained(SHIPPED_PACK, **FLOAT)


@pytest.fixture
def panorama(tmp_path):
    photo_sphere(256).save(tmp_path / "pano.jpg", quality=95, xmp=HEADED)
    return tmp_path / "pano.jpg"


# ---------------------------------------------------------------- the painting


@pytest.mark.parametrize(("across", "turns"), [(1, {}), (97, {"brush_size": 2}), (128, {"strength": 0.5}), (253, {})])
def test_who_rolls_the_photo_rolls_the_painting_exactly(small, across, turns):
    photo = photo_sphere(256)
    painting = paint_panorama(small, photo, "red", **turns)
    assert farthest(paint_panorama(small, rolled(photo, across), "red", **turns), rolled(painting, across)) == 0


def test_neither_the_seam_nor_the_meeting_of_band_and_pole_differs_more_than_what_is_beside_it(shipped):
    levels = pixels(paint_panorama(shipped, photo_sphere(768), "starry-night"))
    steps = np.abs(levels - np.roll(levels, 1, axis=1)).mean(axis=(0, 2))
    assert steps[0] / steps[[-3, -2, -1, 1, 2, 3]].mean() < 1.15
    rows = np.abs(np.diff(levels, axis=0)).mean(axis=(1, 2))
    for meeting in (slice(105, 126), slice(257, 279)):  # the rings are 10 degrees high
        assert rows[meeting].mean() / np.concatenate([rows[80:100], rows[284:304]]).mean() < 1.2


def test_strokes_at_the_pole_are_as_wide_as_those_at_the_horizon(shipped):
    photo = even_sphere(1024)
    apart = [wave_number(picture, 90) / wave_number(picture, 0) for picture in paintings_of(shipped, photo)]
    assert apart[0] > 1.5  # pinched, where the picture is painted as it lies
    assert 0.88 < apart[1] < 1.12


def paintings_of(shipped, photo):
    yield shipped(photo, "starry-night", wrap=True, brush_size=768 / photo.width)
    yield paint_panorama(shipped, photo, "starry-night")


def test_a_mix_of_networks_that_were_trained_apart_is_painted_too(small):
    other = StyleTransferPipeline(random_generator({"moss": "Moss"}, channels=8, blocks=1, seed=5), **FLOAT)
    both, photo = OverlaidPainter({"red": (small, "red"), "moss": (other, "moss")}), photo_sphere(256)
    alone = [pixels(paint_panorama(*each)) for each in ((small, photo, "red"), (other, photo, "moss"))]
    mixed = pixels(paint_panorama(both, photo, {"red": 1, "moss": 3}))
    assert np.abs(alone[0] - alone[1]).mean() > 10
    assert np.abs(mixed - (alone[0] + 3 * alone[1]) / 4).mean() < 1


@pytest.mark.parametrize(
    ("size", "said"),
    [
        ((300, 200), "300x200 pixels: a 360-degree picture is twice as wide as high."),
        ((200, 100), "the least is 256x128"),
    ],
)
def test_what_is_no_whole_sphere_is_refused(small, size, said):
    with pytest.raises(InputError, match=said):
        paint_panorama(small, Image.new("RGB", size), "red")


# ---------------------------------------------------------------- the sphere


@pytest.mark.parametrize("width", [512, 514])
def test_a_chart_of_the_pole_and_its_rows_are_inverse(width):
    picture = np.asarray(even_sphere(width, cells=12))
    height = len(picture)
    chart = sphere.chart_of_pole(picture, 1.1)
    rows = sphere.rows_of_pole(chart, (width, height), range(0, height // 4))
    assert np.abs(rows.astype(int) - picture[: height // 4]).mean() < 1
    assert np.abs(rows.astype(int) - picture[: height // 4]).max() < 12


def test_the_chart_is_what_is_seen_when_one_looks_up():
    picture = np.asarray(photo_sphere(512))
    chart = sphere.chart_of_pole(picture, 0.8)
    seen = sphere.view(picture, 0, np.pi / 2, 60, 0.8)
    middle = slice(len(chart) // 2 - 32, len(chart) // 2 + 32)
    turned = [Image.fromarray(np.rot90(chart[middle, middle], turn)).resize((60, 60)) for turn in range(4)]
    quarters = [np.asarray(each) for each in turned]
    apart = [np.abs(each.astype(int) - seen).mean() for each in quarters]
    mirrored = [np.abs(each[:, ::-1].astype(int) - seen).mean() for each in quarters]
    assert min(apart) < min(mirrored) / 3


def test_the_line_goes_where_two_paintings_agree_and_closes():
    above, below = np.zeros((40, 200, 3), np.uint8), np.full((40, 200, 3), 200, np.uint8)
    way = (20 + 8 * np.sin(np.arange(200) / 200 * 2 * np.pi)).astype(int)
    for column, row in enumerate(way):
        below[row - 3 : row + 4, column] = 0
    ring = joined(above, below)
    assert (ring[0] == 0).all() and (ring[-1] == 200).all()
    line = ring_of_least(np.abs(below.astype(float)[::4, ::4, 0]))
    assert np.abs(line - way[::4] / 4).max() <= 2
    assert abs(int(line[0]) - int(line[-1])) <= 2


# ---------------------------------------------------------------- files


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp"])
def test_the_command_recognizes_a_panorama_and_viewers_recognize_the_painting(tiny_pack, panorama, suffix, tmp_path):
    out = tmp_path / f"out{suffix}"
    assert main([str(panorama), "--style", "red", "-o", str(out), "--pack", str(tiny_pack)]) == 0
    properties = xmp_of(out)
    assert is_equirectangular(properties)
    assert (properties["FullPanoWidthPixels"], properties["CroppedAreaImageHeightPixels"]) == ("256", "128")
    assert properties["PoseHeadingDegrees"] == "75.5"
    assert read_settings(out)["panorama"] is True
    pipeline = StyleTransferPipeline.from_pretrained(tiny_pack, device="cpu")
    painting = paint_panorama(pipeline, panorama, "red")
    assert farthest(Image.open(out).convert("RGB"), painting) == 0 or suffix != ".png"


def test_without_xmp_the_flag_is_needed_and_named(red_arguments, tmp_path, capsys):
    photo_sphere(256).save(tmp_path / "pano.png")
    arguments = red_arguments("pano.png")
    assert main(arguments) == 0
    assert "add --panorama" in capsys.readouterr().err
    assert "xmp" not in Image.open(tmp_path / "out.png").info
    assert main([*arguments, "--panorama"]) == 0
    assert capsys.readouterr().err == ""
    assert is_equirectangular(xmp_of(tmp_path / "out.png"))


def test_a_part_of_a_sphere_is_painted_as_any_photo_and_refused_where_the_whole_is_asked_for(
    red_arguments, tmp_path, capsys
):
    photo_sphere(256).crop((0, 20, 256, 100)).save(tmp_path / "part.jpg", xmp=HEADED)
    arguments = red_arguments("part.jpg")
    assert main(arguments) == 0
    assert "a part of a 360-degree picture" in capsys.readouterr().err
    assert main([*arguments, "--panorama"]) == 2
    assert "256x80 pixels: a 360-degree picture is twice as wide as high." in capsys.readouterr().err


@pytest.mark.parametrize("broken", [HEADED[:90], b"<!DOCTYPE a [<!ENTITY b 'c'>]>" + HEADED, b"\xff\xfe\0"])
def test_broken_xmp_is_ignored_with_a_note(red_arguments, tmp_path, capsys, broken):
    photo_sphere(256).save(tmp_path / "pano.jpg", xmp=broken)
    arguments = red_arguments("pano.jpg")
    assert main(arguments) == 0
    assert "The picture's XMP data is damaged and was ignored." in capsys.readouterr().err


def test_properties_are_read_from_attributes_and_elements_and_written_so_that_they_are_read():
    spoken = (
        b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        b'<rdf:Description xmlns:GPano="http://ns.google.com/photos/1.0/panorama/">'
        b"<GPano:ProjectionType>equirectangular</GPano:ProjectionType>"
        b"<GPano:StitchingSoftware>A &amp; B</GPano:StitchingSoftware>"
        b"</rdf:Description></rdf:RDF></x:xmpmeta>"
    )
    properties, notes = panorama_properties(spoken)
    assert (properties, notes) == ({"ProjectionType": "equirectangular", "StitchingSoftware": "A & B"}, [])
    assert panorama_properties(packet(properties, (400, 200)))[0]["StitchingSoftware"] == "A & B"


@pytest.mark.slow
def test_8192_x_4096_pixels_take_less_than_2_gb_beyond_the_loaded_program():
    done = subprocess.run(
        [sys.executable, "benchmarks/panorama.py", "memory", "--width", "8192"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert float(done.stdout.split("memory: ")[1].split(" GB")[0]) < 2
