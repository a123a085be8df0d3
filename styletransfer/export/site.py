"""A folder of static files that paints in the browser: any web server will do, and no photo leaves the device."""

import gzip
import hashlib
import html
import json
import os
import subprocess
import tarfile
import tempfile
from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from shutil import which
from typing import Any

from PIL import Image, ImageOps

from styletransfer.catalog import Catalog, PackEntry, folder_entry, shipped_catalog
from styletransfer.errors import InputError, first_line
from styletransfer.export.onnx_files import REPORT, check_target
from styletransfer.folders import why_unwritten, written_whole
from styletransfer.images.files import load_picture
from styletransfer.models.onnx_graph import STATISTICS, onnx_graph
from styletransfer.packs.folder import load_pack
from styletransfer.page.look import PAPER, ULTRAMARINE, short_note, swatch_file
from styletransfer.page.texts import CHINESE, ENGLISH, chinese_note, chinese_title
from styletransfer.paths import ASSETS, EXAMPLES

STATIC = Path(__file__).parent / "static"
PAGE_FILES = ("page.js", "painter.js", "shapes.js")
OPENING = "coffee.jpg"  # the photo that the page opens with
THUMBNAIL = 192  # pixels: side of an example's small picture; shown at half of it, for dense screens
FIRST_PAINTING = 10_000_000  # bytes at most that a browser loads before the first painting

RUNTIME = "onnxruntime-web"
RUNTIME_VERSION = "1.30.0"
# Of the package as npm packs it, SHA-512 in Base64: what is served to visitors is what was tested here.
RUNTIME_INTEGRITY = "q0y+JrrtukXSzsBWEMccVfqX25LRmosXHF+CaRJmg8pZClzcV7svNc4rKY3jL02Vb7QmRMDs1SigqR4CXAfKYQ=="
ENGINES = {  # engine -> script and binary of the package; either runs alone
    "wasm": ("ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm"),
    "webgpu": ("ort.webgpu.bundle.min.mjs", "ort-wasm-simd-threaded.asyncify.wasm"),
}


@dataclass(frozen=True)
class Site:
    """What was written: the number of styles, and the bytes that a browser loads before the first painting."""

    styles: int
    first_painting: Mapping[str, int]  # by engine


def export_site(packs: Sequence[Path], folder: Path) -> Site:
    """Write the page; an older export in the same folder is replaced.

    Args:
        packs: their folders, in order; all that ship where there is none.
        folder: where the files go, a new folder or one with an export; its parent must exist.

    Raises:
        InputError: no sound pack, a package is missing, the folder cannot be written or holds something else.
    """
    check_target(folder)
    catalog = _catalog(packs) if packs else shipped_catalog()
    archive = fetched_runtime()
    try:
        with written_whole(folder) as partial:
            return _write(partial, catalog, archive)
    except OSError as error:
        raise InputError(
            "The folder {folder} cannot be written: {reason}.", folder=folder, reason=why_unwritten(error)
        ) from error


def fetched_runtime() -> Path:
    """The package onnxruntime-web, fetched by npm once and then kept; raises InputError where that fails."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "styletransfer"
    kept = cache / f"{RUNTIME}-{RUNTIME_VERSION}.tgz"
    if _is_sound(kept):
        return kept
    npm = which("npm")
    if not npm:
        raise InputError(
            "npm is missing, which brings {package}: install Node.js, or put the package at {place}.",
            package=RUNTIME,
            place=kept,
        )
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache) as fresh:
        command = [npm, "pack", f"{RUNTIME}@{RUNTIME_VERSION}", "--pack-destination", fresh]
        done = subprocess.run(command, cwd=fresh, capture_output=True, text=True)
        packed = Path(fresh) / kept.name
        if not _is_sound(packed):
            reason = first_line(OSError(done.stderr)) if done.returncode else "it is not the one that was tested"
            raise InputError(
                "npm does not give {package} {version}: {reason}.",
                package=RUNTIME,
                version=RUNTIME_VERSION,
                reason=reason,
            )
        packed.replace(kept)
    return kept


def _is_sound(path: Path) -> bool:
    return path.is_file() and b64encode(hashlib.sha512(path.read_bytes()).digest()).decode() == RUNTIME_INTEGRITY


def _catalog(folders: Sequence[Path]) -> Catalog:
    catalog = Catalog()
    for folder in folders:
        catalog.add(folder_entry(folder, list(catalog.styles)))
    return catalog


def _write(folder: Path, catalog: Catalog, archive: Path) -> Site:
    for name in ("models", "runtime", "styles", "examples"):
        (folder / name).mkdir()
    runtimes = _write_runtimes(folder, archive)
    styles, networks = _write_styles(folder, catalog)
    examples = _write_examples(folder)
    for name in PAGE_FILES:
        (folder / name).write_bytes((STATIC / name).read_bytes())
    (folder / "page.css").write_text(_colors() + (STATIC / "page.css").read_text(encoding="utf-8"), encoding="utf-8")
    (folder / "icon.svg").write_bytes((ASSETS / "icon.svg").read_bytes())
    (folder / "index.html").write_text(_front_page(), encoding="utf-8")
    loaded = [*(style["file"] for style in styles), *(runtime["binary"] for runtime in runtimes.values())]
    site = {
        "words": _words(),
        "styles": styles,
        "networks": networks,
        "examples": examples,
        "opening": [example["file"] for example in examples].index(OPENING),
        "runtimes": runtimes,
        "sizes": {name: (folder / name).stat().st_size for name in loaded},
    }
    _write_json(folder / "site.json", site)
    shell = ["index.html", "page.css", "site.json", "icon.svg", *PAGE_FILES]
    shell += [path.relative_to(folder).as_posix() for path in sorted((folder / "styles").iterdir())]
    shell += [example["small"] for example in examples]
    _write_service(folder, shell)
    first = {
        engine: sum(
            (folder / name).stat().st_size
            for name in (*shell, "service.js", *runtime.values(), styles[0]["file"], f"examples/{OPENING}")
        )
        for engine, runtime in runtimes.items()
    }
    _write_json(
        folder / REPORT, {"format": "web", "styles": [style["name"] for style in styles], "first_painting": first}
    )
    return Site(len(styles), first)


def _write_runtimes(folder: Path, archive: Path) -> dict[str, dict[str, str]]:
    """Engine -> addresses of its script and of its binary, which is packed: few servers pack what they send."""
    runtimes = {}
    with tarfile.open(archive) as package:
        for engine, (script, binary) in ENGINES.items():
            content = {name: package.extractfile(f"package/dist/{name}").read() for name in (script, binary)}
            runtimes[engine] = {"script": f"./runtime/{script}", "binary": f"runtime/{binary}.gz"}
            (folder / "runtime" / script).write_bytes(content[script])
            (folder / runtimes[engine]["binary"]).write_bytes(gzip.compress(content[binary], mtime=0))
    return runtimes


def _write_styles(folder: Path, catalog: Catalog) -> tuple[list[dict[str, Any]], dict[str, dict[str, int]]]:
    """What the page knows of each style; and by file of each network, its tiles' margin and its count of statistics."""
    styles, networks = [], {}
    for entry in catalog.entries:
        generator = load_pack(entry.folder)
        file = f"models/{len(networks)}-{entry.styles[0].name}.onnx"
        model = onnx_graph(generator, half=True, defaults=False)
        (folder / file).write_bytes(model.SerializeToString())
        (given,) = (each for each in model.graph.input if each.name == STATISTICS)
        networks[file] = {"margin": generator.margin, "channels": given.type.tensor_type.shape.dim[2].dim_value}
        for told, name in zip(_styles_of(entry), generator.styles, strict=True):
            weights = [float(each == name) for each in generator.styles]
            styles.append(
                {**told, "file": file, "weights": weights, "swatch": _swatch(folder, told["name"], entry, name)}
            )
    return styles, networks


def _styles_of(entry: PackEntry) -> Iterator[dict[str, Any]]:
    for card in entry.styles:
        note = short_note(card)
        yield {
            "name": card.key.replace(":", "-"),
            "title": {"en": card.title, "zh": chinese_title(card.title)},
            "note": {"en": note, "zh": chinese_note(note)},
        }


def _swatch(folder: Path, file: str, entry: PackEntry, style: str) -> str | None:
    sample = next(card.sample for card in entry.styles if card.name == style)
    if sample is None:
        return None
    address = f"styles/{file}.webp"
    (folder / address).write_bytes(swatch_file(load_picture(sample).rgb))
    return address


def _write_examples(folder: Path) -> list[dict[str, str]]:
    examples = []
    for path in sorted(EXAMPLES.glob("*.jpg")):
        (folder / "examples" / path.name).write_bytes(path.read_bytes())
        small, file = f"examples/{path.stem}-small.webp", BytesIO()
        square = ImageOps.fit(load_picture(path).rgb, (THUMBNAIL, THUMBNAIL * 5 // 6), Image.Resampling.LANCZOS)
        square.save(file, "WEBP", quality=80)
        (folder / small).write_bytes(file.getvalue())
        examples.append({"file": path.name, "small": small, "title": path.stem})
    (folder / "examples" / "sources.md").write_bytes((EXAMPLES / "README.md").read_bytes())
    return examples


def _words() -> dict[str, dict[str, str]]:
    """Language -> the words of the page with a server, and those that only this one has."""
    own = json.loads((STATIC / "words.json").read_text(encoding="utf-8"))
    return {texts["language"]: {**texts, **own[texts["language"]]} for texts in (ENGLISH, CHINESE)}


def _front_page() -> str:
    words = _words()["en"]
    values = {name: html.escape(words[name]) for name in ("title", "subtitle", "needs_script")}
    page = (STATIC / "index.html").read_text(encoding="utf-8")
    return page.format(**values, light=PAPER.c50, dark=PAPER.c950)


def _colors() -> str:
    """The colors of the page with a server, by what they are used for, light and dark."""
    light = {
        "ground": PAPER.c50,
        "ink": PAPER.c800,
        "quiet": PAPER.c500,
        "line": PAPER.c200,
        "block": "#fff",
        "mat": PAPER.c100,
        "button": PAPER.c200,
        "track": PAPER.c300,
        "accent": ULTRAMARINE.c600,
        "strong": ULTRAMARINE.c600,
        "stronger": ULTRAMARINE.c700,
    }
    dark = {
        "ground": PAPER.c950,
        "ink": PAPER.c100,
        "quiet": PAPER.c400,
        "line": PAPER.c700,
        "block": PAPER.c800,
        "mat": PAPER.c900,
        "button": PAPER.c700,
        "track": PAPER.c600,
        "accent": ULTRAMARINE.c300,
        "strong": ULTRAMARINE.c500,
        "stronger": ULTRAMARINE.c600,
    }
    sheets = ("; ".join(f"--{name}: {color}" for name, color in colors.items()) for colors in (light, dark))
    return ":root {{{}}}\n@media (prefers-color-scheme: dark) {{:root {{{}}}}}\n".format(*sheets)


def _write_service(folder: Path, shell: Sequence[str]) -> None:
    """The service worker; its version is that of everything it may keep."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            digest.update(path.relative_to(folder).as_posix().encode() + b"\0" + path.read_bytes())
    addresses = ["./" if name == "index.html" else name for name in shell]
    script = (STATIC / "service.js").read_text(encoding="utf-8")
    script = script.replace("{version}", digest.hexdigest()[:16]).replace("{shell}", json.dumps(addresses))
    (folder / "service.js").write_text(script, encoding="utf-8")


def _write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, ensure_ascii=False) + "\n", encoding="utf-8")
