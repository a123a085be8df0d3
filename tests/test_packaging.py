"""The wheel: it holds what the package needs, declares what it imports, and paints where it alone is installed."""

import ast
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "styletransfer"
FILES = ("pyproject.toml", "README.md", "LICENSE", "requirements.txt")
DATA = ("styles", "examples", "assets")  # beside the package in the checkout, inside it in a wheel
# A ZeroGPU Space brings `spaces`, without which the page does; the others are the extra "onnx" of pyproject.toml.
OPTIONAL = {"spaces", "onnx", "onnxruntime"}


def declared():
    """The distributions of requirements.txt, in the spelling of the package index."""
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    return {spelled(re.match(r"[\w.-]+", line)[0]) for line in lines if line and not line.startswith("#")}


def spelled(name):
    return re.sub(r"[-_.]+", "-", name).lower()


def imported():
    """The libraries that some file of the package imports, anywhere in it."""
    names = set()
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                names.add(node.module)
    return {name.split(".")[0] for name in names} - set(sys.stdlib_module_names) - {"styletransfer"} - OPTIONAL


def test_every_imported_library_is_declared_and_every_declared_one_imported():
    origins = packages_distributions()
    assert {spelled(origins[name][0]) for name in imported()} == declared()


def test_what_only_some_need_is_an_extra_that_the_tests_install():
    extra = re.search(r"^onnx = (\[.*?\])", (ROOT / "pyproject.toml").read_text(), re.M)[1]
    wanted = ast.literal_eval(extra)
    assert {re.match(r"\w+", each)[0] for each in wanted} == OPTIONAL - {"spaces"}
    assert set(wanted) <= set((ROOT / "requirements-dev.txt").read_text().splitlines())


def test_every_room_is_a_package_of_the_wheel():
    listed = ast.literal_eval(
        re.search(r"^packages = (\[.*?\])", (ROOT / "pyproject.toml").read_text(), re.M | re.S)[1]
    )
    rooms = {".".join(path.parent.relative_to(ROOT).parts) for path in PACKAGE.rglob("__init__.py")}
    assert set(listed) == rooms | {f"styletransfer.{name}" for name in DATA}


# ---------------------------------------------------------------- the wheel itself


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel, built from a copy of the sources with the setuptools at hand."""
    folder = tmp_path_factory.mktemp("wheel")
    (folder / "source").mkdir()
    for name in FILES:
        shutil.copy(ROOT / name, folder / "source")
    for name in (PACKAGE.name, *DATA):
        shutil.copytree(ROOT / name, folder / "source" / name, ignore=shutil.ignore_patterns("__pycache__"))
    pip("wheel", folder / "source", "--no-deps", "--no-build-isolation", "--wheel-dir", folder)
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """The Python of an environment that has the wheel, and the libraries of this environment, but not the checkout."""
    folder = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    python = folder / "bin" / "python"
    libraries = sysconfig.get_paths(vars={"base": str(folder), "platbase": str(folder)})["purelib"]
    Path(libraries, "shared.pth").write_text(sysconfig.get_path("purelib"))
    pip("--python", python, "install", "--no-deps", "--no-index", wheel)
    return python


def pip(*arguments):
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def files(folder):
    """The files below a folder, from the root of the checkout on, but no caches."""
    return {path.relative_to(ROOT) for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts}


def run(python, folder, *arguments):
    """What a program of the environment prints, started in another folder than the checkout."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run([python, *arguments], cwd=folder, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@pytest.mark.slow
def test_the_wheel_holds_every_file_of_the_package_and_of_what_ships(wheel):
    expected = {path.as_posix() for path in files(PACKAGE)}
    expected |= {f"styletransfer/{path.as_posix()}" for name in DATA for path in files(ROOT / name)}
    assert {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name} == expected


@pytest.mark.slow
def test_an_installed_wheel_lists_the_styles_and_paints_from_any_folder(installed, photo, tmp_path):
    photo.save(tmp_path / "photo.png")
    listed = run(installed, tmp_path, "-m", "styletransfer", "--list")
    shipped = run(sys.executable, ROOT, "-m", "styletransfer", "--list")
    assert listed == shipped
    run(installed, tmp_path, "-m", "styletransfer", "photo.png", "--style", "great-wave", "-o", "painting.png")
    assert Image.open(tmp_path / "painting.png").size == photo.size


@pytest.mark.slow
def test_an_installed_wheel_is_a_library_that_knows_its_examples_and_packs(installed, tmp_path):
    code = "import styletransfer; from styletransfer import StyleTransferPipeline, paths; print(styletransfer.__file__)"
    code += "; print(*(path.is_dir() for path in (paths.EXAMPLES, paths.ASSETS, paths.SHIPPED_PACK)))"
    code += "; print(list(StyleTransferPipeline.from_pretrained(paths.SHIPPED_PACK).styles))"
    file, folders, styles = run(installed, tmp_path, "-c", code).splitlines()
    assert not Path(file).is_relative_to(ROOT)
    assert (folders, styles) == ("True True True", "['starry-night']")
