"""The house plan, held: which file may import which, what importing may do, what never stands in our sources."""

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "styletransfer"
PROBE = Path(__file__).with_name("import_probe.py")

# A file imports only from levels above its own line here, that is, from lower levels.
LEVELS = (
    {"errors", "folders", "colors", "finishing", "advice", "pack_files", "provenance", "presets", "steps", "chinese"},
    {"images", "losses", "checkpoints", "hub_errors", "picture_pool", "best", "lab", "stored_weights"},
    {"generator", "discriminator", "patch_head", "features", "detectors", "cards", "inception"},
    {"packs", "repos", "config", "metrics", "crops", "distributions", "brushwork"},
    {"pipeline", "data", "networks", "judge", "sources", "streaming", "hub", "hub_checkpoints", "spaces"},
    {"objective", "game", "updates", "samples", "batches", "training_setup", "training_log", "training_state"}
    | {"evaluation_summary", "hub_commands", "publishing", "video", "__init__"},
    {"watch", "evaluation", "catalog", "session", "results", "limits", "reading"},
    {"training", "studio", "hub_catalog", "speech"},
    {"examples", "page_look", "page_texts", "page_calls", "page_waiting", "page_says", "page_files", "zero_gpu"}
    | {"evaluate_command"},
    {"page_events", "page_head"},
    {"page_drawing", "page_endpoints"},
    {"demo", "cli"},
    {"__main__"},
)
LEVEL = {module: level for level, modules in enumerate(LEVELS) for module in modules}
DOORS = {"__main__.py": "cli", "app.py": "demo", "train_accelerate.py": "training"}  # thin files and the one they open
HEAVY = {"accelerate", "datasets"}
PICKLERS = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
MAX_LINES = 500


# ---------------------------------------------------------------- reading imports


def modules_of(package):
    return {path.relative_to(package).with_suffix("").as_posix(): path for path in sorted(package.rglob("*.py"))}


def parse(path):
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def imported_names(path, package="styletransfer"):
    """Every dotted name that the file imports, at its top or inside a function; a relative one is spelled out."""
    for node in ast.walk(parse(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            start = ".".join(part for part in (package if node.level else "", node.module or "") if part)
            yield from (f"{start}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call) and called_name(node) in {"import_module", "__import__"}:
            yield from (argument.value for argument in node.args if isinstance(argument, ast.Constant))


def called_name(call):
    return getattr(call.func, "attr", getattr(call.func, "id", None))


def own_imports(path, known):
    """The modules of our package that the file imports; a name taken from the package itself counts as `__init__`."""
    names = [name.split(".") for name in imported_names(path) if name.split(".")[0] == "styletransfer"]
    return {name[1] if len(name) > 1 and name[1] in known else "__init__" for name in names}


def library_imports(path):
    return {name.split(".")[0] for name in imported_names(path)} - {"styletransfer"}


# ---------------------------------------------------------------- the arrows


def arrow_faults(package):
    """One sentence for each import in `package` that does not point to a lower level."""
    modules = modules_of(package)
    faults = [f"{name} has no level: give it one" for name in modules if name not in LEVEL]
    for name in modules.keys() & LEVEL.keys():
        for target in own_imports(modules[name], LEVEL.keys() | modules.keys()):
            if LEVEL.get(target, -1) >= LEVEL[name]:
                faults.append(f"{name} imports {target}, which is not below it")
    return sorted(faults)


def heavy_faults(package, roots=("__init__", "pipeline")):
    """One sentence for each of accelerate and datasets that the light modules, or what they import, import."""
    modules = modules_of(package)
    light = {name for name in modules if LEVEL.get(name, len(LEVELS)) < LEVEL["pipeline"]}
    waiting = [name for name in roots if name in modules]
    while waiting:
        light.add(name := waiting.pop())
        waiting += (own_imports(modules[name], modules.keys()) & modules.keys()) - light
    return sorted(
        f"{name} imports {heavy}" for name in light for heavy in library_imports(modules[name]) if heavy in HEAVY
    )


def write_package(folder, **sources):
    package = folder / "styletransfer"
    package.mkdir()
    for name, source in sources.items():
        (package / f"{name}.py").write_text(source)
    return package


def test_every_import_in_the_package_points_to_a_lower_level():
    assert arrow_faults(PACKAGE) == []


def test_pipeline_and_everything_under_it_never_import_accelerate_or_datasets():
    assert heavy_faults(PACKAGE) == []


@pytest.mark.parametrize(("file", "target"), DOORS.items())
def test_a_door_opens_on_its_one_room_only(file, target):
    path = PACKAGE / file if file.startswith("__") else ROOT / file
    assert own_imports(path, set(LEVEL)) == {target}


@pytest.mark.parametrize(
    ("module", "source", "fault"),
    [
        ("losses", "from styletransfer.generator import Generator", "losses imports generator, which is not below it"),
        ("images", "def f():\n    from .losses import gram", "images imports losses, which is not below it"),
        ("data", "from . import pipeline", "data imports pipeline, which is not below it"),
        ("features", "import styletransfer.hub as h", "features imports hub, which is not below it"),
        ("video", "import importlib\nimportlib.import_module('styletransfer.cli')", "video imports cli"),
        ("demo", "if True:\n    from styletransfer import cli", "demo imports cli, which is not below it"),
        ("hub", "from styletransfer import StyleTransferPipeline", "hub imports __init__, which is not below it"),
        ("misc", "", "misc has no level: give it one"),
    ],
)
def test_the_arrow_check_sees_a_wrong_import(tmp_path, module, source, fault):
    faults = arrow_faults(write_package(tmp_path, **{module: source}))
    assert len(faults) == 1
    assert faults[0].startswith(fault)


def test_the_arrow_check_lets_right_imports_pass(tmp_path):
    images = "from styletransfer.errors import InputError"
    video = "import torch\nfrom styletransfer import data, pipeline\nfrom .errors import InputError"
    assert arrow_faults(write_package(tmp_path, errors="", images=images, video=video)) == []


def test_the_weight_check_follows_imports_down_from_the_pipeline(tmp_path):
    sources = {
        "pipeline": "from styletransfer.generator import Generator",
        "generator": "def f():\n    import accelerate.utils",
        "losses": "from datasets import load_dataset",
        "data": "import datasets",  # beside the pipeline, not under it
    }
    expected = ["generator imports accelerate", "losses imports datasets"]
    assert heavy_faults(write_package(tmp_path, **sources)) == expected


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
    names = sorted(modules_of(package).keys() & LEVEL.keys() - {"__init__", "__main__"}, key=LEVEL.__getitem__)
    return [f"styletransfer.{name}" for name in names]


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
    report = probe(write_package(tmp_path, images=source).parent, ["styletransfer.images"], [], cwd=tmp_path)
    assert {where for where, *_ in report["seen"]} == {"styletransfer.images"}
    assert any(seen.startswith(event) for _, seen, _ in report["seen"])


def test_the_import_probe_tells_our_heavy_imports_from_a_librarys(tmp_path):
    (tmp_path / "accelerate.py").write_text("")
    (tmp_path / "library.py").write_text("import accelerate")
    package = write_package(tmp_path, images="import library", losses="import accelerate")
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
