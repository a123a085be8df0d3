"""Folders in, batches out: what is cut from where, in which order, and what happens to bad files."""

import io
import math
import os
import pickle
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import datasets
import numpy as np
import pytest
import torch
from accelerate import Accelerator
from accelerate.data_loader import prepare_data_loader
from PIL import Image
from torch.utils.data import DataLoader

from styletransfer.data.samples import KEPT_PAINTINGS, Batch, PairedCrops, StepSampler, collate, load_paintings
from styletransfer.data.sources import load_source
from styletransfer.errors import InputError
from styletransfer.images.files import fit_long_side, load_picture, picture_to_tensor

LEVEL = 2 / 255  # one gray level in [-1, 1]


def paired_crops(photos: list, styles: dict, **options: object) -> PairedCrops:
    """With the sizes that a test does not name."""
    return PairedCrops(photos, styles, **{"photo_scale": (1.0, 1.5), "painting_size": 512, **options})


def noise(width: int, height: int, seed: int = 0) -> Image.Image:
    """Every small square of it is unlike every other, mirrored or not."""
    coarse = np.random.default_rng(seed).integers(0, 256, (height // 4 + 1, width // 4 + 1, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)


def fit_short_side(image: Image.Image, size: int) -> Image.Image:
    scale = size / min(image.size)
    return image.resize(tuple(round(side * scale) for side in image.size), Image.Resampling.LANCZOS)


def flat(level: int) -> Image.Image:
    return Image.new("RGB", (24, 20), (level, level, level))


def folder_of(folder: Path, pictures: dict[str, Image.Image | bytes]) -> datasets.Dataset:
    for name, picture in pictures.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        if isinstance(picture, bytes):
            (folder / name).write_bytes(picture)
        else:
            picture.save(folder / name)
    return load_source(str(folder))


def flats(folder: Path, levels: range) -> datasets.Dataset:
    return folder_of(folder, {f"{level:03}.png": flat(level) for level in levels})


def crops_of(painting: Image.Image, count: int, folder: Path, **options: object) -> PairedCrops:
    """Crops of one flat photo, and of a style with so many copies of a painting."""
    paintings = folder_of(folder / "x", {f"{i:03}.png": painting for i in range(count)})
    return paired_crops([folder_of(folder / "photos", {"a.png": flat(0)})], {"x": paintings}, **options)


def level_of(picture: torch.Tensor) -> int:
    """The one gray level of a flat picture."""
    levels = ((picture + 1) * 127.5).round().to(torch.int64).unique()
    assert len(levels) == 1
    return int(levels)


def places(whole: Image.Image, square: torch.Tensor) -> dict[tuple[int, int, bool], float]:
    """Each place (left, top, mirrored) in the picture with its largest difference to the square (1, 3, c, c)."""
    side = square.shape[-1]
    views = picture_to_tensor(whole)[0].unfold(1, side, 1).unfold(2, side, 1)  # (3, down, across, c, c)
    found = {}
    for mirrored in (False, True):
        wanted = square[0].flip(-1) if mirrored else square[0]
        gap = (views - wanted[:, None, None]).abs().amax(dim=(0, 3, 4))
        found |= {(left, top, mirrored): float(gap[top, left]) for top, left in np.ndindex(*gap.shape)}
    return found


def place_of(whole: Image.Image, square: torch.Tensor, tolerance: float = 1.01 * LEVEL) -> tuple[int, int, bool]:
    """The one place where the square was cut."""
    gaps = places(whole, square)
    place = min(gaps, key=gaps.__getitem__)
    assert gaps[place] <= tolerance
    return place


def assert_same(one: Batch, other: Batch) -> None:
    for left, right in zip(one[:4], other[:4], strict=True):
        assert torch.equal(left, right)
    assert one.skipped == other.skipped


@pytest.fixture
def crops(tmp_path: Path) -> PairedCrops:
    """Seven photos, two styles of one and three paintings, one bad file among photos and paintings each."""
    photos = {f"{i}.jpg": noise(60 + i, 40, i) for i in range(7)} | {"broken.jpg": b"not a picture"}
    paintings = {f"{i}.png": noise(50, 64 + i, 10 + i) for i in range(3)} | {"broken.png": b"\x89PNG\r\n\x1a\n"}
    styles = {"one": folder_of(tmp_path / "one", {"a.png": noise(70, 50, 20)})}
    styles["many"] = folder_of(tmp_path / "many", paintings)
    return paired_crops(
        [folder_of(tmp_path / "photos", photos)], styles, crop_size=16, painting_size=40, seed=3, length=64
    )


# ---------------------------------------------------------------------------------------------------------------------
# Sources


def test_a_folder_is_read_with_its_subfolders_in_the_order_of_names(tmp_path: Path) -> None:
    picture = flat(9)
    source = folder_of(
        tmp_path,
        {"b.png": picture, "a/z.JPEG": picture, "a/b/c.webp": picture, "a.jpg": picture}
        | {"notes.txt": b"no", ".hidden.png": b"no", ".cache/x.png": b"no", "a/._z.jpg": b"no"},
    )
    assert [row["image"]["path"] for row in source] == [
        str(tmp_path / name) for name in ("a/b/c.webp", "a/z.JPEG", "a.jpg", "b.png")
    ]
    assert source.column_names == ["image"]
    assert source.features["image"] == datasets.Image(decode=False)
    assert source[0]["image"]["bytes"] is None


def test_one_picture_file_is_a_source_whatever_its_name(tmp_path: Path) -> None:
    path = tmp_path / "painting"
    flat(7).save(path, "PNG")
    assert [row["image"]["path"] for row in load_source(str(path))] == [str(path)]


def test_a_tilde_means_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    flat(7).save(tmp_path / "a.png")
    assert len(load_source("~/a.png")) == 1


@pytest.mark.parametrize("source", ["", "nowhere", "a/b/c", "a\0b", "x" * 5000])
def test_a_source_that_is_nothing_is_an_error_that_says_so(source: str) -> None:
    with pytest.raises(InputError, match="has nothing between two colons: write org/name:split:column"):
        load_source("org/photos::nocol")
    with pytest.raises(InputError, match="is neither a folder nor a picture file"):
        load_source(source)


def test_a_source_without_a_picture_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("nothing to see")
    with pytest.raises(InputError, match="There is no picture in"):
        load_source(str(tmp_path))
    with pytest.raises(InputError, match=r"notes\.txt is not a picture"):
        load_source(str(tmp_path / "notes.txt"))


# ---------------------------------------------------------------------------------------------------------------------
# What a sample holds


def test_a_sample_has_the_shapes_types_and_ranges_of_its_description(crops: PairedCrops) -> None:
    batch = collate([crops[k] for k in range(6)])
    assert batch.photo.shape == batch.painting.shape == (6, 3, 16, 16)
    assert batch.augmentation.shape == (6, 2, 8)
    assert {tensor.dtype for tensor in batch[:4]} == {torch.float32}
    for picture in (batch.photo, batch.painting):
        assert -1 <= picture.min() < -0.5
        assert 0.5 < picture.max() <= 1
    assert torch.equal(batch.style_weights, torch.tensor([[1.0, 0.0], [0.0, 1.0]] * 3))


def test_augmentation_is_uniform_and_new_for_every_sample(crops: PairedCrops) -> None:
    numbers = torch.cat([crops[k].augmentation for k in range(64)])
    assert numbers.unique().numel() > 0.99 * numbers.numel()
    assert 0 <= numbers.min() < 0.02
    assert 0.98 < numbers.max() < 1
    assert abs(float(numbers.mean()) - 0.5) < 4 * math.sqrt(1 / 12 / numbers.numel())


def test_a_photo_is_scaled_by_its_short_side_cut_anywhere_and_mirrored_half_of_the_time(tmp_path: Path) -> None:
    photo = noise(90, 60)
    photos = folder_of(tmp_path / "photos", {"a.png": photo})
    style = {"x": folder_of(tmp_path / "x", {"a.png": flat(0)})}
    crops = paired_crops([photos], style, crop_size=16, photo_scale=(1.25, 1.25), length=80)
    whole = fit_short_side(photo, 20)
    assert whole.size == (30, 20)
    found = [place_of(whole, crops[k].photo) for k in range(80)]
    lefts, tops, mirrored = zip(*found, strict=True)
    assert set(tops) == set(range(5))
    assert {min(lefts), max(lefts)} == {0, 14}
    assert 25 <= sum(mirrored) <= 55


def test_the_scale_of_photos_fills_its_range(tmp_path: Path) -> None:
    # Red counts pixels across, green down: a square tells by its slope how much it was enlarged.
    y, x = np.mgrid[0:40, 0:60]
    ramp = Image.fromarray(np.stack([x * 4, y * 4, 0 * x], axis=-1).astype(np.uint8))
    photos = folder_of(tmp_path / "photos", {"a.png": ramp})
    style = {"x": folder_of(tmp_path / "x", {"a.png": flat(0)})}
    crops = paired_crops([photos], style, crop_size=40, photo_scale=(1.0, 1.5), length=60)
    scales = []
    for k in range(60):
        levels = (crops[k].photo[0] + 1) * 127.5
        across = float((levels[0, :, 37] - levels[0, :, 2]).mean().abs()) / 35
        down = float((levels[1, 37] - levels[1, 2]).mean()) / 35
        assert across == pytest.approx(down, rel=0.02)
        scales.append(4 / down)
    assert 0.98 < min(scales) < 1.08
    assert 1.42 < max(scales) < 1.52


@pytest.mark.parametrize("count", [1, KEPT_PAINTINGS + 1])
def test_a_painting_is_cut_at_its_brush_size_and_never_mirrored(tmp_path: Path, count: int) -> None:
    painting = noise(120, 75)
    crops = crops_of(painting, count, tmp_path, crop_size=16, painting_size=32, length=60)
    whole = fit_long_side(painting, 32)
    found = [place_of(whole, crops[k].painting) for k in range(60)]
    lefts, tops, mirrored = zip(*found, strict=True)
    assert {min(lefts), max(lefts)} == {0, 16}
    assert set(tops) == set(range(5))
    assert not any(mirrored)


@pytest.mark.parametrize("count", [1, KEPT_PAINTINGS + 1])
def test_a_painting_too_narrow_for_a_square_is_enlarged_until_it_holds_one(tmp_path: Path, count: int) -> None:
    painting = noise(200, 40)
    crops = crops_of(painting, count, tmp_path, crop_size=20, painting_size=50, length=6)
    for k in range(6):
        assert place_of(fit_short_side(painting, 20), crops[k].painting)[1:] == (0, False)


def test_a_scroll_is_cut_without_being_enlarged_whole(tmp_path: Path) -> None:
    # Whole, with a short side of 256, it would take 16,384 x 100 times as many pixels.
    scroll = np.tile(np.arange(256, dtype=np.uint8).repeat(128), (16, 1))
    crops = crops_of(Image.fromarray(scroll), 1, tmp_path, crop_size=256, length=3)
    levels = {level_of(crops[k].painting[..., 128:132, :4]) for k in range(3)}
    assert len(levels) == 3
    assert [picture.size for picture in crops._kept.pictures.values()] == [(32768, 16)]


def test_a_photo_turned_by_exif_is_cut_upright(tmp_path: Path) -> None:
    y, x = np.mgrid[0:40, 0:40]
    lying = Image.fromarray(np.stack([x * 6, y * 0, y * 0], axis=-1).astype(np.uint8))  # brighter to the right
    exif = Image.Exif()
    exif[0x0112] = 6  # turned right to be seen: brighter to the bottom
    (tmp_path / "photos").mkdir()
    lying.save(tmp_path / "photos" / "a.jpg", quality=95, exif=exif)
    style = {"x": folder_of(tmp_path / "x", {"a.png": flat(0)})}
    red = paired_crops([load_source(str(tmp_path / "photos"))], style, crop_size=16, length=1)[0].photo[0, 0]
    assert (red[12] - red[3]).min() > 0.1
    assert (red[:, 12] - red[:, 3]).abs().max() < 0.05


def test_cmyk_16_bit_alpha_palette_and_animated_pictures_are_cut_too(tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    Image.new("CMYK", (20, 20), (0, 0, 0, 0)).save(photos / "cmyk.jpg")
    Image.fromarray(np.full((20, 20), 65535, np.uint16)).save(photos / "deep.png")
    Image.new("RGBA", (20, 20), (255, 255, 255, 90)).save(photos / "alpha.png")
    Image.new("1", (20, 20), 1).save(photos / "bits.png")
    Image.new("RGB", (20, 20), "white").quantize(4).save(photos / "palette.png")
    flat(255).save(photos / "moving.gif", save_all=True, append_images=[flat(0)])
    style = {"x": folder_of(tmp_path / "x", {"a.png": flat(0)})}
    crops = paired_crops([load_source(str(photos))], style, crop_size=16, length=6)
    for k in range(6):
        assert crops[k].photo.min() > 0.98
        assert crops[k].skipped == []


def test_a_large_jpeg_decoded_small_looks_as_one_decoded_whole(tmp_path: Path) -> None:
    photo = noise(80, 60).resize((1280, 960), Image.Resampling.BICUBIC)
    photos = folder_of(tmp_path / "photos", {"a.jpg": photo})
    style = {"x": folder_of(tmp_path / "x", {"a.jpg": photo})}
    crops = paired_crops([photos], style, crop_size=60, photo_scale=(1.0, 1.0), painting_size=80, length=4)
    whole = fit_short_side(load_picture(tmp_path / "photos" / "a.jpg").rgb, 60)
    for k in range(4):
        place_of(whole, crops[k].photo, tolerance=3 * LEVEL)
        place_of(whole, crops[k].painting, tolerance=3 * LEVEL)


def test_a_large_jpeg_is_not_decoded_whole_for_a_small_square(tmp_path: Path) -> None:
    photos = folder_of(tmp_path / "photos", {"a.jpg": noise(80, 60).resize((2400, 1800), Image.Resampling.BICUBIC)})
    crops = paired_crops([photos], {"x": folder_of(tmp_path / "x", {"a.png": flat(0)})}, crop_size=64, length=5)

    def cpu_time(do: Callable[[], object]) -> float:
        begin = time.thread_time()
        do()
        return time.thread_time() - begin

    sample = min(cpu_time(lambda k=k: crops[k]) for k in range(5))
    whole = min(cpu_time(lambda: load_picture(tmp_path / "photos" / "a.jpg")) for _ in range(5))
    assert sample < 0.75 * whole


def test_rows_that_hold_the_bytes_are_read_as_files_are(tmp_path: Path) -> None:
    files = folder_of(tmp_path / "photos", {f"{i}.jpg": noise(60, 40, i) for i in range(3)})
    rows = [{"path": None, "bytes": Path(row["image"]["path"]).read_bytes()} for row in files]
    held = datasets.Dataset.from_dict({"image": rows}, features=files.features)
    from_files, from_bytes = (paired_crops([s], {"x": s}, crop_size=16, length=6) for s in (files, held))
    for k in range(6):
        assert_same(from_files[k], from_bytes[k])


# ---------------------------------------------------------------------------------------------------------------------
# Order


def test_every_epoch_shows_each_photo_and_each_painting_of_each_style_once_in_a_new_order(tmp_path: Path) -> None:
    photos = [flats(tmp_path / "p", range(0, 4)), flats(tmp_path / "q", range(4, 10))]
    styles = {"few": flats(tmp_path / "few", range(100, 103)), "more": flats(tmp_path / "more", range(200, 205))}
    crops = paired_crops(photos, styles, crop_size=16, length=60)
    seen = [(level_of(crops[k].photo), level_of(crops[k].painting)) for k in range(60)]
    photo_epochs = [[photo for photo, _ in seen[start : start + 10]] for start in range(0, 60, 10)]
    assert all(sorted(epoch) == list(range(10)) for epoch in photo_epochs)
    assert len(set(map(tuple, photo_epochs))) == 6
    for style, levels in ((0, range(100, 103)), (1, range(200, 205))):
        paintings = [painting for _, painting in seen[style::2]]
        epochs = [tuple(paintings[start : start + len(levels)]) for start in range(0, 30, len(levels))]
        assert all(sorted(epoch) == list(levels) for epoch in epochs)
        assert len(set(epochs)) > 1
    assert len({photo for photo, painting in seen if painting < 200}) > 5


def test_every_batch_is_balanced_over_the_styles(crops: PairedCrops) -> None:
    for batch in DataLoader(crops, batch_size=4, collate_fn=collate):
        assert batch.style_weights.sum(dim=0).tolist() == [2, 2]


def test_the_seed_changes_order_places_and_augmentation(tmp_path: Path) -> None:
    photos = folder_of(tmp_path / "photos", {f"{i}.png": noise(60, 40, i) for i in range(8)})
    one, other = (paired_crops([photos], {"x": photos}, crop_size=16, seed=seed, length=1000) for seed in (0, 2**40))
    for one_part, other_part in zip(one[5][:2], other[5][:2], strict=True):
        assert not torch.equal(one_part, other_part)
    assert not torch.equal(one[5].augmentation, other[5].augmentation)


def test_a_sample_depends_on_its_number_alone(crops: PairedCrops) -> None:
    first = [crops[k] for k in range(64)]
    fresh = pickle.loads(pickle.dumps(crops))
    torch.manual_seed(5)
    np.random.seed(5)
    for k in reversed(range(64)):
        assert_same(fresh[k], first[k])
        assert_same(crops[k], first[k])


@pytest.mark.parametrize("context", ["fork", "spawn"])
def test_workers_and_a_later_start_give_the_same_stream(crops: PairedCrops, context: str) -> None:
    whole = list(DataLoader(crops, batch_size=4, sampler=StepSampler(0, 32), collate_fn=collate))
    resumed = DataLoader(
        crops,
        batch_size=4,
        sampler=StepSampler(12, 32),
        collate_fn=collate,
        num_workers=2,
        multiprocessing_context=context,
    )
    batches = list(resumed)
    assert len(whole) == 8
    assert len(batches) == len(resumed) == 5
    for batch, expected in zip(batches, whole[3:], strict=True):
        assert_same(batch, expected)
    assert any(batch.skipped for batch in batches)


def test_sample_numbers_end_where_the_length_says(crops: PairedCrops) -> None:
    assert len(crops) == 64
    for k in (-1, 64):
        with pytest.raises(IndexError):
            crops[k]
    assert list(StepSampler(5, 9)) == [5, 6, 7, 8]
    assert len(StepSampler(5, 9)) == 4


def test_pictures_kept_in_memory_are_bounded_and_stay_at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("styletransfer.data.samples.KEPT_PIXELS", 5 * 200 * 100)
    paintings = folder_of(tmp_path / "x", {f"{i}.png": noise(200, 100, i) for i in range(9)})
    crops = paired_crops([paintings], {"x": paintings}, crop_size=16, painting_size=200, length=30)
    small = len(pickle.dumps(crops))
    for k in range(30):
        crops[k]
        kept = crops._kept.pictures
        assert kept.currsize == sum(math.prod(picture.size) for picture in kept.values()) <= 5 * 200 * 100
    assert len(kept) == 5
    assert len(pickle.dumps(crops)) == small


# ---------------------------------------------------------------------------------------------------------------------
# Accelerate


def test_accelerate_prepares_the_loader_and_the_batch_stays_a_batch(crops: PairedCrops) -> None:
    plain = list(DataLoader(crops, batch_size=4, sampler=StepSampler(8, 40), collate_fn=collate))
    loader = Accelerator(cpu=True).prepare(
        DataLoader(crops, batch_size=4, sampler=StepSampler(8, 40), collate_fn=collate, num_workers=1)
    )
    batches = list(loader)
    assert len(batches) == 8
    for batch, expected in zip(batches, plain, strict=True):
        assert type(batch) is Batch
        assert_same(batch, expected)
    skipped = [name for batch in batches for name in batch.skipped]
    assert skipped
    assert all(type(name) is str for name in skipped)


def test_two_shards_together_are_the_stream_of_one_process(crops: PairedCrops) -> None:
    def loader(size: int) -> DataLoader:
        return DataLoader(crops, batch_size=size, sampler=StepSampler(10, 34), collate_fn=collate, drop_last=True)

    shards = [prepare_data_loader(loader(3), num_processes=2, process_index=rank) for rank in (0, 1)]
    single = list(loader(6))
    assert len(single) == 4
    for left, right, expected in zip(*shards, single, strict=True):
        both = Batch(*(torch.cat(pair) for pair in zip(left[:4], right[:4], strict=True)), left.skipped + right.skipped)
        assert_same(both, expected)


# ---------------------------------------------------------------------------------------------------------------------
# Bad files


def damaged() -> dict[str, bytes]:
    encoded = io.BytesIO()
    noise(64, 64).save(encoded, "JPEG")
    dot = io.BytesIO()
    Image.new("RGB", (1, 1)).save(dot, "PNG")
    return {"text.png": b"hello", "empty.jpg": b"", "cut.jpg": encoded.getvalue()[:900], "dot.png": dot.getvalue()}


def test_bad_files_are_named_with_the_reason_and_replaced_by_good_ones(tmp_path: Path) -> None:
    pictures = {f"{level}.png": flat(level) for level in (10, 20, 30)} | damaged()
    source = folder_of(tmp_path / "photos", pictures)
    crops = paired_crops([source], {"x": flats(tmp_path / "x", range(99, 100))}, crop_size=16, length=70)
    samples = [crops[k] for k in range(70)]
    assert {level_of(sample.photo) for sample in samples} == {10, 20, 30}
    skipped = Counter(name for sample in samples for name in sample.skipped)
    path = tmp_path / "photos"
    assert {name.split(": ")[0] for name in skipped} == {str(path / name) for name in damaged()}
    assert len(skipped) == 4
    assert all(count >= 10 for count in skipped.values())  # each in every epoch, and in place of the ones before it
    assert any(name.startswith(f"{path / 'text.png'}: not a picture") for name in skipped)
    assert any(name.startswith(f"{path / 'cut.jpg'}: damaged or cut short") for name in skipped)
    assert any(name.startswith(f"{path / 'dot.png'}: only 1x1") for name in skipped)


def test_a_bad_photo_changes_no_other_sample_and_no_painting(tmp_path: Path) -> None:
    pictures = {f"{i}.png": noise(60, 40, i) for i in range(5)}
    sound = folder_of(tmp_path / "sound", pictures)
    spoiled = folder_of(tmp_path / "spoiled", pictures | {"3.png": b"spoiled"})
    one, other = (paired_crops([source], {"x": sound}, crop_size=16, length=10) for source in (sound, spoiled))
    replaced = 0
    for k in range(10):
        assert torch.equal(one[k].painting, other[k].painting)
        assert torch.equal(one[k].augmentation, other[k].augmentation)
        assert torch.equal(one[k].photo, other[k].photo) == (not other[k].skipped)
        replaced += bool(other[k].skipped)
    assert replaced == 2


@pytest.mark.parametrize("kept", [256, 0])
def test_few_photos_are_decoded_once_for_each_size_and_give_the_same_crops(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kept: int
) -> None:
    pictures = {f"{i}.jpg": noise(300, 200, i) for i in range(2)} | {"flat.png": noise(60, 40)}
    photos, style = folder_of(tmp_path / "photos", pictures), {"x": flats(tmp_path / "x", range(7, 8))}
    scales = {"crop_size": 16, "photo_scale": (1.0, 6.0), "length": 60}
    monkeypatch.setattr("styletransfer.data.samples.KEPT_PHOTOS", 0)
    expected = [paired_crops([photos], style, **scales)[k] for k in range(60)]
    monkeypatch.setattr("styletransfer.data.samples.KEPT_PHOTOS", kept)
    crops, decoded = paired_crops([photos], style, **scales), []

    def counted(source: object) -> object:
        decoded.append(source)
        return load_picture(source)

    monkeypatch.setattr("styletransfer.data.crops.load_picture", counted)
    for k in range(60):
        assert_same(crops[k], expected[k])
    # Once the painting, and without a cache a photo for each crop; with it each JPEG in the few sizes it is decoded in.
    assert len(decoded) == 61 if not kept else 4 < len(decoded) <= 1 + 1 + 2 * 4


def test_a_file_that_vanishes_during_training_is_skipped(tmp_path: Path) -> None:
    source = flats(tmp_path / "photos", range(1, 4))
    crops = paired_crops([source], {"x": flats(tmp_path / "x", range(99, 100))}, crop_size=16, length=3)
    (tmp_path / "photos" / "002.png").unlink()
    samples = [crops[k] for k in range(3)]
    assert [name.split(": ")[0] for sample in samples for name in sample.skipped] == [str(tmp_path / "photos/002.png")]


def test_a_pipe_among_the_photos_stops_nothing(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    os.mkfifo(tmp_path / "photos" / "a.jpg")
    source = flats(tmp_path / "photos", range(7, 8))
    crops = paired_crops([source], {"x": flats(tmp_path / "x", range(99, 100))}, crop_size=16, length=4)
    assert [level_of(crops[k].photo) for k in range(4)] == [7] * 4


def test_a_row_without_a_picture_is_skipped(tmp_path: Path) -> None:
    good = flats(tmp_path / "photos", range(7, 8))
    empty = datasets.Dataset.from_dict({"image": [None, None]}, features=good.features)
    crops = paired_crops([good, empty], {"x": good}, crop_size=16, length=6)
    samples = [crops[k] for k in range(6)]
    assert {level_of(sample.photo) for sample in samples} == {7}
    assert {name.split(":")[0] for sample in samples for name in sample.skipped} == {"picture 1", "picture 2"}


def test_a_source_in_which_everything_is_bad_is_an_error_naming_the_first_file(tmp_path: Path) -> None:
    good = flats(tmp_path / "good", range(7, 8))
    bad = folder_of(tmp_path / "bad", damaged())
    first = f"the first is {tmp_path / 'bad' / 'cut.jpg'}: damaged"
    with pytest.raises(InputError, match=f"None of the photos \\(4\\) can be used; {first}"):
        paired_crops([bad], {"x": good}, crop_size=16, length=1)
    with pytest.raises(InputError, match=f'None of the paintings of "x" \\(4\\) can be used; {first}'):
        paired_crops([good], {"good": good, "x": bad}, crop_size=16, length=1)


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"crop_size": 15}, "crop_size is 15"),
        ({"photo_scale": (0.9, 1.5)}, "photo_scale is 0.9 to 1.5"),
        ({"photo_scale": (1.5, 1.0)}, "photo_scale is 1.5 to 1.0"),
        ({"photo_scale": (1.0, math.nan)}, "photo_scale is 1.0 to nan"),
        ({"painting_size": 0}, "painting_size is 0"),
        ({"seed": -1}, "seed is -1"),
        ({"photos": []}, "no source of photos: give"),
        ({"styles": {}}, "There is no style"),
    ],
)
def test_a_value_out_of_range_is_an_error_naming_it(tmp_path: Path, wrong: dict, sentence: str) -> None:
    good = flats(tmp_path, range(7, 8))
    arguments = {"photos": [good], "styles": {"x": good}, "crop_size": 16, "length": 1} | wrong
    with pytest.raises(InputError, match=sentence):
        paired_crops(arguments.pop("photos"), arguments.pop("styles"), **arguments)


# ---------------------------------------------------------------------------------------------------------------------
# Whole paintings


def test_whole_paintings_come_evenly_picked_at_their_size(tmp_path: Path) -> None:
    source = flats(tmp_path, range(10, 30))
    assert [level_of(painting) for painting in load_paintings(source, 48, 4)] == [10, 15, 20, 25]
    assert [level_of(painting) for painting in load_paintings(source, 48, 99)] == list(range(10, 30))
    assert {tuple(painting.shape) for painting in load_paintings(source, 48, 4)} == {(1, 3, 40, 48)}


def test_a_whole_painting_is_the_picture_at_that_long_side(tmp_path: Path) -> None:
    picture = noise(50, 80)
    (painting,) = load_paintings(folder_of(tmp_path, {"a.png": picture}), 64, 1)
    assert torch.equal(painting, picture_to_tensor(fit_long_side(picture, 64)))


def test_bad_whole_paintings_are_replaced_and_only_bad_ones_are_an_error(tmp_path: Path) -> None:
    source = folder_of(tmp_path / "x", {f"{level}.png": flat(level) for level in range(10, 16)} | {"10.png": b"bad"})
    assert [level_of(painting) for painting in load_paintings(source, 24, 2)] == [11, 13]
    bad = folder_of(tmp_path / "bad", damaged())
    with pytest.raises(InputError, match=r"None of the paintings \(2\) can be used; the first is .*cut\.jpg"):
        list(load_paintings(bad, 24, 2))
