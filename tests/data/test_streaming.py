"""Streams: all rows once a pass, shared out to processes, taken up exactly, whatever breaks on the way."""

import io
import json
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import datasets
import numpy as np
import pytest
import torch
from fake_hub.pictures import cell, imagefolder, monet2photo, parquet, webdataset, wikiart
from fake_hub.server import hub
from fake_hub.stream_client import answer, summary
from PIL import Image
from training_kit import HUB_PORT, forked

from styletransfer.data.samples import load_paintings
from styletransfer.data.sources import load_source
from styletransfer.data.streaming import Stream
from styletransfer.errors import InputError, StreamError
from styletransfer.training.batches import StreamedCrops, rows_of

FEATURES = datasets.Features({"image": datasets.Image(decode=False)})


def streamed(levels, shards=1):
    """A stream of flat pictures, of bytes as they are, and of empty rows, as load_source hands it out."""
    rows = datasets.Dataset.from_dict({"image": [cell(level) for level in levels]}, features=FEATURES)
    return rows.to_iterable_dataset(num_shards=shards)


def stream(levels, shards=1, **options):
    return Stream(
        "the photos", streamed(levels, shards), **{"seed": 0, "stream": 5, "buffer": 4, "patience": 60, **options}
    )


def load(row):
    """The gray level of a picture."""
    if row["image"]["bytes"] == b"bad":
        raise InputError("the picture is bad")
    return int(row["image"]["path"].removesuffix(".png"))


def taken(source, count):
    return [source.take(k, load)[0] for k in range(count)]


# ---------------------------------------------------------------------------------------------------------------------
# One stream


@pytest.mark.parametrize("shards", [1, 3])
def test_every_pass_shows_each_row_once_in_a_new_order(shards):
    levels = taken(stream(range(10), shards), 40)
    passes = [tuple(levels[start : start + 10]) for start in range(0, 40, 10)]
    assert all(sorted(one) == list(range(10)) for one in passes)
    assert len(set(passes)) == 4


def test_the_order_is_that_of_the_seed_and_the_stream():
    one = taken(stream(range(30)), 30)
    assert taken(stream(range(30)), 30) == one
    assert taken(stream(range(30), seed=1), 30) != one
    assert taken(stream(range(30), stream=6), 30) != one


def test_rows_are_shuffled_within_blocks_only():
    levels = taken(stream(range(12)), 12)
    assert [sorted(levels[start : start + 4]) for start in (0, 4, 8)] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11]]
    assert levels != list(range(12))


@pytest.mark.parametrize("shards", [1, 2])
@pytest.mark.parametrize("processes", [1, 2])
def test_a_stream_goes_on_from_any_position_as_if_never_interrupted(shards, processes):
    rows = [*range(5), None, *range(5, 11)]
    options = {"shards": shards, "rank": processes - 1, "processes": processes}
    source = stream(rows, **options)
    levels, positions = [], []
    for k in range(30):
        positions.append(json.dumps(source.position))
        levels.append(source.take(k, load)[0])
    for start, position in enumerate(positions):
        again = stream(rows, **options)
        again.position = json.loads(position)
        assert taken(again, 30 - start) == levels[start:]


@pytest.mark.parametrize("shards", [1, 2, 4])
def test_processes_share_each_pass_without_overlap(shards):
    shares = [stream(range(16), shards, rank=rank, processes=2) for rank in (0, 1)]
    for _ in range(3):
        left, right = (taken(share, 8) for share in shares)
        assert sorted(left + right) == list(range(16))


def test_a_process_whose_share_is_empty_reads_everything():
    assert set(taken(stream([7, 8], rank=2, processes=4), 6)) == {7, 8}
    again = stream([7, 8], rank=2, processes=4)
    levels = taken(again, 3)
    resumed = stream([7, 8], rank=2, processes=4)
    resumed.position = json.loads(json.dumps(again.position))
    assert levels + taken(resumed, 3) == taken(stream([7, 8], rank=2, processes=4), 6)


def test_bad_and_empty_rows_are_passed_over_and_bad_ones_reported():
    source = stream([1, b"bad", 2, None, 3])
    found = [source.take(k, load) for k in range(9)]
    assert Counter(level for level, _ in found) == {1: 3, 2: 3, 3: 3}
    assert [line for _, skipped in found for line in skipped] == ["bad.png: bad"] * 3


@pytest.mark.parametrize(
    ("rows", "sentence"), [([b"bad"] * 5, "None of the photos"), ([None] * 5, "There is no picture")]
)
def test_a_stream_without_a_picture_is_an_error_and_no_endless_search(rows, sentence):
    with pytest.raises(InputError, match=sentence):
        stream(rows).take(0, load)


class Breaking:
    """Rows that break off once or for good, as a connection does."""

    def __init__(self, times):
        self.left = times

    def __call__(self, image):
        if self.left and image["path"] == "6.png":
            self.left -= 1
            raise ConnectionError("the line is cut")
        return True


def test_what_breaks_off_is_taken_up_where_it_was():
    broken = streamed(range(10)).filter(Breaking(1), input_columns=["image"])
    source = Stream("the photos", broken, seed=0, stream=5, buffer=4, patience=60)
    assert taken(source, 20) == taken(stream(range(10)), 20)


def test_what_stays_broken_is_a_sentence_after_the_time_given():
    broken = streamed(range(10)).filter(Breaking(99), input_columns=["image"])
    source = Stream("the photos", broken, seed=0, stream=5, buffer=4, patience=0)
    with pytest.raises(StreamError, match=r"Reading the photos keeps failing \(the line is cut\)"):
        taken(source, 10)


# ---------------------------------------------------------------------------------------------------------------------
# Batches


def crops(photos, styles, start=0, stop=6, **options):
    sizes = {
        "crop_size": 16,
        "photo_scale": (1.0, 1.5),
        "painting_size": 24,
        "batch_size": 2,
        "buffer": 4,
        "patience": 60,
    }
    position = options.pop("position", "")
    made = StreamedCrops(photos, styles, **sizes, **options)
    made.go_to(start, stop, position)
    return made


def test_batches_are_balanced_over_styles_and_go_on_from_a_position(tmp_path: Path):
    Image.new("L", (30, 24), 200).save(tmp_path / "one.png")

    def build(**options):
        styles = {"few": load_source(str(tmp_path)), "many": streamed(range(100, 105))}
        return crops([streamed([*range(9), b"bad"])], styles, **options)

    whole = [summary(batch) for batch in build()]
    assert len(whole) == 6
    for batch in whole:
        assert batch["styles"] == [0, 1]
        assert batch["paintings"][0] == 200
    assert sorted(batch["paintings"][1] for batch in whole[:5]) == list(range(100, 105))
    assert sum(len(batch["skipped"]) for batch in whole) == 1
    assert [summary(batch) for batch in build(start=2, position=whole[1]["position"])] == whole[2:]


def test_augmentation_and_style_are_those_of_the_sample_number_on_any_process(tmp_path: Path):
    single = list(crops([streamed(range(9))], {"x": streamed(range(4)), "y": streamed(range(4))}, stop=4))
    for rank in (0, 1):
        two = {"x": streamed(range(4)), "y": streamed(range(4))}
        share = list(crops([streamed(range(9))], two, stop=2, rank=rank, processes=2))
        for batch, expected in zip(share, single[rank::2], strict=True):
            assert torch.equal(batch.augmentation, expected.augmentation)
            assert torch.equal(batch.style_weights, expected.style_weights)


def test_sources_of_photos_are_used_equally_and_independently_of_the_styles():
    styles = {"x": streamed([1]), "y": streamed([2])}
    photos = [streamed(range(100, 102)), streamed(range(200, 209))]
    batches = [summary(batch) for batch in crops(photos, styles, stop=60)]
    pairs = Counter((batch["photos"][i] // 100, batch["paintings"][i]) for batch in batches for i in (0, 1))
    assert all(15 <= pairs[source, style] <= 45 for source in (1, 2) for style in (1, 2))


def test_the_first_good_paintings_of_a_stream_stand_for_it():
    source = streamed([b"bad", 10, None, 11, 12])
    levels = [
        round(float(painting.mean() + 1) * 127.5)
        for painting in load_paintings(rows_of("x", source, patience=60), 24, 2)
    ]
    assert levels == [10, 11]
    with pytest.raises(InputError, match=r"None of the paintings \(4\) can be used"):
        list(load_paintings(rows_of("x", streamed([b"bad"] * 9), patience=60), 24, 1))


# ---------------------------------------------------------------------------------------------------------------------
# Over HTTP

SOURCES = {"photos": ["studio/monet2photo:train:imageB"], "styles": {"monet": "studio/wikiart:artist=claude-monet"}}
LOOSE = {"photos": ["studio/loose"], "styles": {"x": "studio/archives"}}


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    """What a client streams: whole, from a position on, with a worker, on two processes, over a line that is cut."""
    folder = tmp_path_factory.mktemp("streaming")
    with hub(folder / "hub", port=HUB_PORT) as server, ProcessPoolExecutor(2, forked()) as clients:
        server.put("studio/monet2photo", monet2photo(folder), "dataset")
        server.put("studio/wikiart", wikiart(folder), "dataset")
        server.put("studio/loose", imagefolder() | {"train/062b.png": b"not a picture"}, "dataset")
        server.put("studio/archives", webdataset(), "dataset")
        picture = {"image": datasets.Image()}
        large = parquet(folder, picture, {"image": [{"path": None, "bytes": noisy(i)} for i in range(8)]})
        server.put("studio/cut", {"train.parquet": large}, "dataset")
        server.fail("*studio/cut/resolve/*train.parquet", "cut", method="GET", skip=1, times=2, after_bytes=2000)
        whole = {"start": 0, "stop": 10}
        jobs = {
            "whole": SOURCES | whole,
            "worker": SOURCES | whole | {"workers": 1},
            "first": SOURCES | whole | {"rank": 0, "processes": 2},
            "second": SOURCES | whole | {"rank": 1, "processes": 2},
            "loose": LOOSE | whole,
            "cut": {"photos": ["studio/cut"], "styles": {"x": "studio/archives"}, "start": 0, "stop": 8},
        }
        found = dict(zip(jobs, clients.map(answer, jobs.values()), strict=True))
        middle = found["whole"][3]["position"]
        third = found["loose"][2]["position"]
        later = {
            "resumed": SOURCES | {"start": 4, "stop": 10, "position": middle},
            "resumed worker": SOURCES | {"start": 4, "stop": 10, "position": middle, "workers": 1},
            "resumed loose": LOOSE | {"start": 3, "stop": 10, "position": third},
        }
        yield found | dict(zip(later, clients.map(answer, later.values()), strict=True))


def noisy(seed: int) -> bytes:
    """A picture that does not compress, so that a file of them comes in many parts."""
    pixels = np.random.default_rng(seed).integers(0, 256, (96, 96, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def test_a_stream_over_http_shows_every_photo_and_painting_once_a_pass(answers):
    photos = [level for batch in answers["whole"] for level in batch["photos"]]
    paintings = [level for batch in answers["whole"] for level in batch["paintings"]]
    assert sorted(photos[:8]) == sorted(photos[8:16]) == list(range(100, 108))
    assert sorted(paintings[:4]) == sorted(paintings[4:8]) == [30, 31, 32, 33]
    assert photos[:8] != photos[8:16]


def test_another_process_goes_on_exactly_where_one_stopped(answers):
    assert answers["resumed"] == answers["whole"][4:]
    assert answers["resumed loose"] == answers["loose"][3:]


def test_a_worker_reads_the_same_batches(answers):
    assert answers["worker"] == answers["whole"]
    assert answers["resumed worker"] == answers["whole"][4:]


def test_two_processes_read_different_photos_and_neither_ends_early(answers):
    left, right = ([level for batch in answers[rank] for level in batch["photos"]] for rank in ("first", "second"))
    assert len(left) == len(right) == 20
    assert sorted(left[:4] + right[:4]) == list(range(100, 108))


def test_folders_and_archives_are_streamed_and_a_bad_file_is_named(answers):
    photos = Counter(level for batch in answers["loose"] for level in batch["photos"])
    assert set(photos) == {60, 61, 62, 63}
    skipped = [line for batch in answers["loose"] for line in batch["skipped"]]
    assert skipped
    assert all("062b.png: not a picture" in line for line in skipped)


def test_a_cut_connection_loses_no_picture(answers):
    photos = [level for batch in answers["cut"] for level in batch["photos"]]
    assert len(photos) == 16
    assert all(not batch["skipped"] for batch in answers["cut"])
