"""The house plan, held: which room may import which, what importing may do, what never stands in our sources."""

import ast
import json
import os
import subprocess
import sys
from collections import Counter
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "styletransfer"
PROBE = Path(__file__).with_name("import_probe.py")

# The files beside the rooms are two rooms more: the ground that all stand on, and the pipeline with what goes with it.
TOP = {"errors": "ground", "steps": "ground", "folders": "ground", "paths": "ground"}
TOP |= {"aside": "ground"}
TOP |= {"pipeline": "pipeline", "samples": "pipeline", "results": "pipeline", "catalog": "pipeline"}
TOP |= {
    "settings": "pipeline",
    "painter": "pipeline",
    "large": "pipeline",
    "hub_catalog": "pipeline",
    "__init__": "pipeline",
}
# A room imports from itself, from the ground, and from these. A name with a dot is one file of a room.
BELOW = {"images", "models", "packs", "hub", "data", "pipeline"}
MAY_IMPORT = {
    "ground": set(),
    "images": set(),
    "models": set(),
    "packs": {"models"},
    "hub": {"packs"},
    "data": {"images", "hub.errors"},
    "pipeline": {"images", "models", "packs", "hub", "data.crops"},
    "evaluation": BELOW,
    "moving": {"images", "models", "pipeline"},
    "surround": (BELOW - {"data"}) | {"moving"},
    "export": (BELOW - {"data"}) | {"page.look", "page.texts"},  # the same look and words
    "training": BELOW,
    # What is asked of a painting is written once, in the training's objective; nothing else of a training is light.
    "learning": (BELOW - {"data"}) | {"data.crops", "training.objective", "training.config"},
    "page": (BELOW - {"data"}) | {"evaluation", "learning", "moving", "surround"},
    "cli": BELOW | {"evaluation", "export", "training", "learning", "moving", "surround"},
}
DOORS = {
    "__main__.py": "cli.paint",
    "app.py": "page.app",
    "train_accelerate.py": "training.launch",
}  # thin: one import
LIGHT_ROOMS = {"ground", "images", "models", "packs", "hub", "pipeline"}
LIGHT_ROOTS = ("__init__", "pipeline", "page.app", "learning.learner")  # with all that they import
HEAVY = {"accelerate", "datasets"}
PICKLERS = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
MAX_LINES = 500
MAX_MODULES = 15  # in a room


# ---------------------------------------------------------------- reading imports


def modules_of(package):
    """Dotted name within the package -> file; the __init__ of a room is called as the room."""
    paths = {path.relative_to(package).with_suffix(""): path for path in sorted(package.rglob("*.py"))}
    return {".".join(name.parts).removesuffix(".__init__"): path for name, path in paths.items()}


def room_of(module):
    room = module.split(".")[0]
    return room if "." in module or room not in TOP else TOP[room]


def parse(path):
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def imported_names(path, within=()):
    """Every dotted name that the file imports, at its top or inside a function; a relative one is spelled out.

    within: the names of the packages that the file lies in, from the outermost on.
    """
    for node in ast.walk(parse(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            around = within[: len(within) - node.level + 1] if node.level else ()
            yield from (".".join([*around, *filter(None, [node.module]), alias.name]) for alias in node.names)
        elif isinstance(node, ast.Call) and called_name(node) in {"import_module", "__import__"}:
            yield from (argument.value for argument in node.args if isinstance(argument, ast.Constant))


def called_name(call):
    return getattr(call.func, "attr", getattr(call.func, "id", None))


def own_imports(path, known, within=("styletransfer",)):
    """The modules of our package that the file imports; a name taken from the package itself counts as `__init__`."""
    found = set()
    for name in imported_names(path, within):
        parts = name.split(".")
        if parts[0] == "styletransfer":
            starts = [".".join(parts[1:end]) for end in range(len(parts), 1, -1)]
            found.add(next((start for start in starts if start in known), "__init__"))
    return found


def library_imports(path):
    return {name.split(".")[0] for name in imported_names(path)} - {"styletransfer", ""}


def arrows_of(package):
    """Module -> the modules of the package that it imports."""
    modules = modules_of(package)
    arrows = {}
    for name, path in modules.items():
        within = ("styletransfer", *path.relative_to(package).parts[:-1])
        arrows[name] = own_imports(path, modules.keys() | TOP.keys(), within) - {name}
    return arrows


# ---------------------------------------------------------------- the arrows


def may_import(module, target):
    own, other = room_of(module), room_of(target)
    allowed = MAY_IMPORT[own] | {own, "ground"}
    return other in allowed or target in allowed


def arrow_faults(package):
    """One sentence for each import that the plan has no arrow for, and for each module without a room."""
    arrows = arrows_of(package)
    faults = [f"{name} is in no room: give it one" for name in arrows if is_homeless(name)]
    for name in arrows:
        if not is_homeless(name) and name != "__main__":
            faults += [f"{name} imports {target}: no arrow" for target in arrows[name] if not may_import(name, target)]
    return sorted(faults)


def is_homeless(name):
    return name != "__main__" and room_of(name) not in MAY_IMPORT


def circle_of(package):
    """Modules that import one another in a circle; None where there is no circle."""
    try:
        TopologicalSorter(arrows_of(package)).prepare()
    except CycleError as error:
        return error.args[1]
    return None


def unreferenced(package, doors):
    """Modules that neither another module nor one of the doors imports."""
    arrows = arrows_of(package)
    used = {target for targets in arrows.values() for target in targets}
    used |= {target for door in doors for target in own_imports(door, arrows.keys())}
    files = {name for name, path in modules_of(package).items() if not path.name.startswith("__")}
    return sorted(files - used)


def heavy_faults(package):
    """One sentence for each of accelerate and datasets that the light modules, or what they import, import."""
    modules, arrows = modules_of(package), arrows_of(package)
    light = {name for name in modules if room_of(name) in LIGHT_ROOMS}
    waiting = [*light, *(root for root in LIGHT_ROOTS if root in modules)]
    while waiting:
        light.add(name := waiting.pop())
        waiting += (arrows[name] & modules.keys()) - light
    return sorted(
        f"{name} imports {heavy}" for name in light for heavy in library_imports(modules[name]) if heavy in HEAVY
    )


def write_package(folder, sources):
    """A package of these modules, dotted name -> source, and its folder."""
    package = folder / "styletransfer"
    for name, source in sources.items():
        path = package.joinpath(*name.split(".")).with_suffix(".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source)
    return package


def test_every_import_in_the_package_follows_an_arrow_of_the_plan():
    assert arrow_faults(PACKAGE) == []


def test_no_modules_import_one_another_in_a_circle():
    assert circle_of(PACKAGE) is None


def test_no_module_is_without_use():
    doors = [ROOT / name for name in DOORS if not name.startswith("__")]
    assert unreferenced(PACKAGE, doors) == []


def test_the_pipeline_the_page_and_everything_under_them_never_import_accelerate_or_datasets():
    assert heavy_faults(PACKAGE) == []


def test_no_room_holds_too_many_modules():
    folders = Counter(
        str(path.parent.relative_to(PACKAGE)) for path in PACKAGE.rglob("*.py") if not path.name.startswith("__")
    )
    assert {name: count for name, count in folders.items() if count > MAX_MODULES} == {}


@pytest.mark.parametrize(("file", "target"), DOORS.items())
def test_a_door_opens_on_its_one_module_only(file, target):
    path = PACKAGE / file if file.startswith("__") else ROOT / file
    assert own_imports(path, modules_of(PACKAGE).keys()) == {target}


@pytest.mark.parametrize(
    ("module", "source", "target"),
    [
        ("errors", "from styletransfer.images.files import load_picture", "images.files"),
        ("images.lab", "def f():\n    from styletransfer.models import losses", "models.losses"),
        ("models.losses", "from ..packs.folder import load_pack", "packs.folder"),
        ("models.losses", "from .. import pipeline", "pipeline"),
        ("data.sources", "from styletransfer.hub import repos", "hub.repos"),
        ("packs.folder", "import styletransfer.hub.packs as h", "hub.packs"),
        ("pipeline", "from styletransfer.data.samples import crops", "data.samples"),
        ("hub.repos", "import importlib\nimportlib.import_module('styletransfer.cli.paint')", "cli.paint"),
        ("training.watch", "from styletransfer.evaluation.metrics import ssim", "evaluation.metrics"),
        ("evaluation.meter", "from styletransfer.training.config import pairs", "training.config"),
        ("page.app", "if True:\n    from styletransfer.cli import paint", "cli.paint"),
        ("page.app", "from styletransfer.data.crops import Cropper", "data.crops"),
        ("page.app", "from styletransfer.training.objective import Objective", "training.objective"),
        ("learning.fit", "from styletransfer.training.trainer import Updates", "training.trainer"),
        ("cli.paint", "from styletransfer.page.studio import Studio", "page.studio"),
        ("hub.packs", "from styletransfer import StyleTransferPipeline", "__init__"),
    ],
)
def test_the_arrow_check_sees_a_wrong_import(tmp_path, module, source, target):
    package = write_package(tmp_path, {target: "", module: source})
    assert arrow_faults(package) == [f"{module} imports {target}: no arrow"]


def test_the_arrow_check_sees_a_module_without_a_room(tmp_path):
    package = write_package(tmp_path, {"misc": "", "attic.old": "", "errors": ""})
    assert arrow_faults(package) == ["attic.old is in no room: give it one", "misc is in no room: give it one"]


def test_the_arrow_check_lets_right_imports_pass(tmp_path):
    sources = {
        "errors": "",
        "images.files": "from styletransfer.errors import InputError",
        "data.crops": "from .samples import Row\nfrom styletransfer.images import files\nimport styletransfer.errors",
        "data.samples": "",
        "pipeline": "import torch\nfrom styletransfer.data.crops import Cropper",
        "cli.paint": "from styletransfer import StyleTransferPipeline\nfrom ..training import config",
        "training.config": "",
    }
    assert arrow_faults(write_package(tmp_path, sources)) == []


def test_the_circle_check_sees_a_circle_even_inside_functions(tmp_path):
    sources = {"images.lab": "from styletransfer.images import files", "images.files": ""}
    assert circle_of(write_package(tmp_path, sources)) is None
    sources["images.files"] = "def f():\n    from .lab import rgb_to_lab"
    assert set(circle_of(write_package(tmp_path, sources))) == {"images.lab", "images.files"}


def test_the_use_check_counts_doors_and_leaves_out_rooms(tmp_path):
    sources = {
        "images.__init__": "",
        "images.lab": "",
        "images.files": "",
        "page.app": "import styletransfer.images.lab",
    }
    package = write_package(tmp_path, sources)
    (tmp_path / "app.py").write_text("from styletransfer.page.app import main")
    assert unreferenced(package, [tmp_path / "app.py"]) == ["images.files"]


def test_the_weight_check_follows_imports_down_from_the_pipeline(tmp_path):
    sources = {
        "pipeline": "from styletransfer.data.crops import Cropper",
        "data.crops": "def f():\n    import accelerate.utils",
        "models.losses": "from datasets import load_dataset",
        "data.sources": "import datasets",  # beside the pipeline, not under it
    }
    expected = ["data.crops imports accelerate", "models.losses imports datasets"]
    assert heavy_faults(write_package(tmp_path, sources)) == expected


# ---------------------------------------------------------------- what importing does


def library_statements(package):
    """The imports of libraries that run when our modules are imported, as source, each once."""
    statements = {}
    for path in modules_of(package).values():
        for node in running_imports(parse(path).body):
            if isinstance(node, ast.ImportFrom) and (node.level or node.module == "__future__"):
                continue
            names = [node.module] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names]
            if not any(name.split(".")[0] == "styletransfer" for name in names):
                statements[ast.unparse(node)] = None
    return list(statements)


def running_imports(statements):
    for node in statements:
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            yield node
        elif isinstance(node, (ast.If, ast.Try, ast.With)) and "TYPE_CHECKING" not in ast.unparse(node):
            for part in ("body", "orelse", "handlers", "finalbody"):
                yield from running_imports(getattr(node, part, []))


def probe(folder, modules, first, cwd):
    """Import `modules` in a new process whose working folder is `cwd`; what it did, see import_probe.py."""
    command = [sys.executable, "-W", "ignore", str(PROBE), str(folder), json.dumps(first), json.dumps(modules)]
    environment = {**os.environ, "GRADIO_ANALYTICS_ENABLED": "False", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def in_rising_order(package):
    """All modules, each after those that it imports: then what a probe sees is done by the module it imports last."""
    names = TopologicalSorter(arrows_of(package)).static_order()
    return [f"styletransfer.{name}" for name in names if not name.startswith("__")]


def test_importing_any_module_touches_no_network_file_argv_or_gpu(tmp_path):
    report = probe(ROOT, in_rising_order(PACKAGE), library_statements(PACKAGE), cwd=tmp_path)
    assert report["seen"] == []
    assert list(tmp_path.iterdir()) == []


def test_importing_the_pipeline_loads_no_datasets_and_asks_for_no_accelerate(tmp_path):
    """diffusers imports accelerate by itself where both are installed, so that one may be loaded, but not by us."""
    report = probe(ROOT, ["styletransfer.pipeline"], [], cwd=tmp_path)
    assert "datasets" not in report["loaded"]
    assert [name for name in report["importers"] if name.startswith("styletransfer")] == []
    assert [event for _, event, _ in report["seen"] if event.startswith("socket")] == []


@pytest.mark.parametrize(
    ("source", "event"),
    [
        ("import socket\ntry:\n    socket.create_connection(('127.0.0.1', 9), 1)\nexcept OSError:\n    pass", "socket"),
        ("open('left.txt', 'w').close()", "open"),
        ("from pathlib import Path\nPath('left').mkdir()", "os.mkdir"),
        ("import subprocess, sys\nsubprocess.run([sys.executable, '-c', ''])", "subprocess.Popen"),
    ],
)
def test_the_import_probe_sees_what_a_module_does(tmp_path, source, event):
    report = probe(write_package(tmp_path, {"images": source}).parent, ["styletransfer.images"], [], cwd=tmp_path)
    assert {where for where, *_ in report["seen"]} == {"styletransfer.images"}
    assert any(seen.startswith(event) for _, seen, _ in report["seen"])


def test_the_import_probe_tells_our_heavy_imports_from_a_librarys(tmp_path):
    (tmp_path / "accelerate.py").write_text("")
    (tmp_path / "library.py").write_text("import accelerate")
    package = write_package(tmp_path, {"images": "import library", "losses": "import accelerate"})
    alone = probe(package.parent, ["styletransfer.images"], [], cwd=tmp_path)
    assert (alone["loaded"], alone["importers"]) == (["accelerate"], ["library"])
    assert "styletransfer.losses" in probe(package.parent, ["styletransfer.losses"], [], cwd=tmp_path)["importers"]


# ---------------------------------------------------------------- what never stands in our sources


def shipped_sources():
    folders = (PACKAGE.rglob("*.py"), ROOT.glob("*.py"), (ROOT / "scripts").rglob("*.py"))
    return [path for folder in folders for path in sorted(folder)]


def danger_faults(path):
    """One sentence for each way in which the file could run code that came with somebody's weights."""
    faults = []
    for node in ast.walk(parse(path)):
        names = {getattr(node, key, None) for key in ("id", "attr", "arg")}
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            module = (getattr(node, "module", None) or "").split(".")[0]
            names |= {module, *(alias.name.split(".")[0] for alias in node.names)}
        if isinstance(node, ast.Constant) and node.value == "trust_remote_code":
            names.add(node.value)
        dangerous = names & (PICKLERS | {"trust_remote_code", "allow_pickle"})
        faults += [f"{path.name}:{getattr(node, 'lineno', '?')} uses {name}" for name in sorted(dangerous)]
        if is_unsafe_torch_load(node):
            faults.append(f"{path.name}:{node.lineno} loads without weights_only=True")
    return faults


def is_unsafe_torch_load(node):
    if isinstance(node, ast.ImportFrom) and node.module == "torch":
        return any(alias.name == "load" for alias in node.names)  # hides what is loaded from this check
    if not (isinstance(node, ast.Call) and ast.unparse(node.func) == "torch.load"):
        return False
    return not any(key.arg == "weights_only" and ast.unparse(key.value) == "True" for key in node.keywords)


def test_our_sources_run_no_code_that_comes_with_weights():
    assert [fault for path in shipped_sources() for fault in danger_faults(path)] == []


@pytest.mark.parametrize(
    "source",
    [
        "import torch\ntorch.load('x')",
        "import torch\ntorch.load('x', weights_only=False)",
        "from torch import load",
        "import pickle",
        "from pickle import loads",
        "f(trust_remote_code=True)",
        "f(**{'trust_remote_code': True})",
        "numpy.load('x', allow_pickle=True)",
    ],
)
def test_the_danger_check_sees_each_way(tmp_path, source):
    path = tmp_path / "source.py"
    path.write_text(source)
    assert len(danger_faults(path)) == 1


def test_the_danger_check_lets_safe_loading_and_sentences_pass(tmp_path):
    path = tmp_path / "source.py"
    path.write_text("import torch\ntorch.load('x', weights_only=True)\nraise ValueError('a pack with a pickle only')")
    assert danger_faults(path) == []


def test_no_file_is_a_drawer_for_everything():
    drawers = {"utils.py", "util.py", "helpers.py", "common.py", "misc.py"}
    assert [path for path in [*shipped_sources(), *(ROOT / "tests").rglob("*.py")] if path.name in drawers] == []


def test_no_file_is_longer_than_the_limit():
    sources = [*shipped_sources(), *(ROOT / "benchmarks").rglob("*.py"), *(ROOT / "scripts").rglob("*.py")]
    lengths = {str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").splitlines()) for path in sources}
    assert {name: length for name, length in lengths.items() if length > MAX_LINES} == {}


def test_no_test_imports_from_a_test():
    files = {path: imported_names(path) for path in (ROOT / "tests").rglob("*.py")}
    taken = {(path.name, name) for path, names in files.items() for name in names}
    assert {each for each in taken if each[1].split(".")[0].startswith(("test_", "conftest", "tests"))} == set()
