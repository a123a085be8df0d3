"""Datasets of flat pictures for the Hub of the tests, laid out as the well-known ones are; a gray level names a row."""

import io
import json
import subprocess
import sys
import tarfile
from pathlib import Path

import datasets
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
CLIENT = Path(__file__).with_name("source_client.py")
PATIENCE = 1500  # seconds until a process that takes a few is taken for hanging
ARTISTS = ["Unknown Artist", "boris-kustodiev", "camille-pissarro", "claude-monet", "vincent-van-gogh"]


def png(level: int, size: tuple[int, int] = (24, 20)) -> bytes:
    file = io.BytesIO()
    Image.new("L", size, level).convert("RGB").save(file, "PNG")
    return file.getvalue()


def cell(level: int | bytes | None) -> dict | None:
    """A cell of a column of pictures: of a gray level, of bytes as they are, or empty."""
    if level is None:
        return None
    return {
        "path": f"{level}.png" if isinstance(level, int) else "bad.png",
        "bytes": png(level) if isinstance(level, int) else level,
    }


def parquet(folder: Path, features: dict, columns: dict, rows_per_group: int = 100) -> bytes:
    """A parquet file as `Dataset.push_to_hub` writes it: pictures inside, features in its metadata."""
    table = datasets.Dataset.from_dict(columns, features=datasets.Features(features))
    path = folder / "rows.parquet"
    table.to_parquet(path, batch_size=rows_per_group)
    return path.read_bytes()


def monet2photo(folder: Path, photos: range = range(100, 108), shards: int = 2) -> dict[str, bytes]:
    """The layout of huggan/monet2photo: imageA holds paintings, imageB photos; here there are fewer paintings."""
    features = {"imageA": datasets.Image(), "imageB": datasets.Image()}
    files = {}
    for split, levels in (("train", photos), ("test", range(200, 202))):
        count = shards if split == "train" else 1
        for shard in range(count):
            part = levels[shard::count]
            columns = {"imageB": [cell(level) for level in part]}
            columns["imageA"] = [cell(level - 90) if i < 3 else None for i, level in enumerate(part)]
            name = f"data/{split}-{shard:05d}-of-{count:05d}.parquet"
            files[name] = parquet(folder, features, {name: columns[name] for name in features})
    return files


def wikiart(folder: Path) -> dict[str, bytes]:
    """The layout of huggan/wikiart: one picture and three labels a row. Level 10 * artist + n."""
    label = datasets.ClassLabel
    features = {
        "image": datasets.Image(),
        "artist": label(names=ARTISTS),
        "genre": label(names=["abstract_painting", "landscape"]),
        "style": label(names=["Impressionism", "Realism"]),
    }
    levels = [10 * artist + n for n in range(4) for artist in range(1, 5)]
    columns = {
        "image": [cell(level) for level in levels],
        "artist": [level // 10 for level in levels],
        "genre": [level % 2 for level in levels],
        "style": [0 for _ in levels],
    }
    return {"data/train-00000-of-00001.parquet": parquet(folder, features, columns)}


def imagefolder(levels: range = range(60, 64)) -> dict[str, bytes]:
    """Loose files in folders of splits, one of them no picture."""
    return {f"train/{level:03}.png": png(level) for level in levels} | {"test/200.png": png(200)}


def webdataset(levels: range = range(70, 76), shards: int = 2) -> dict[str, bytes]:
    """Tar archives of pictures with a text each."""
    files = {}
    for shard in range(shards):
        archive = io.BytesIO()
        with tarfile.open(fileobj=archive, mode="w") as tar:
            for level in levels[shard::shards]:
                for name, content in ((f"{level:03}.png", png(level)), (f"{level:03}.txt", b"flat")):
                    member = tarfile.TarInfo(name)
                    member.size = len(content)
                    tar.addfile(member, io.BytesIO(content))
        files[f"train-{shard:03}.tar"] = archive.getvalue()
    return files


def ask(environment: dict[str, str], *jobs: object, cwd: Path = ROOT, client: Path = CLIENT) -> list:
    """What a client process answers to the jobs."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", str(client), json.dumps(jobs)],
        cwd=cwd,
        env=environment | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])
