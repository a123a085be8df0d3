"""The page deployed to the loopback Hub as a Space: what arrives there is enough to serve the page, and no more."""

import json
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest
import yaml
from fake_hub.pack_client import ROOT, Client, RefusalError
from fake_hub.server import HOST
from fake_hub.server import hub as running_hub
from fake_hub.snippets import run_client

from styletransfer.errors import InputError
from styletransfer.export.site import fetched_runtime
from styletransfer.hub import spaces

SPACE = "painter/page"
PATIENCE = 300  # seconds; a busy machine takes long to import torch and gradio


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    with running_hub(tmp_path_factory.mktemp("hub") / "hub") as hub:
        yield hub


@pytest.fixture(scope="module")
def client(hub):
    with Client(hub.environment("painter")) as client:
        yield client


@pytest.fixture
def space(hub):
    """The name of the Space, which is not there yet, on a Hub where nothing goes wrong."""
    hub.heal()
    if hub.store.repo(SPACE, "space"):
        hub.store.delete(hub.store.repo(SPACE, "space"))
    return SPACE


@pytest.fixture
def pack(hub, tiny_pack):
    """A pack on the Hub, with a file beside it that is no part of one; its commit."""
    files = {path.name: path.read_bytes() for path in tiny_pack.iterdir()}
    return hub.put("painter/pack", {**files, "notes.txt": "mine"}).sha


def front_matter(hub):
    return yaml.safe_load(hub.repo(SPACE, "space").read("README.md").decode().split("---\n")[1])


def command(arguments, environment, cwd=ROOT):
    line = [sys.executable, "-m", "styletransfer", *map(str, arguments)]
    return subprocess.run(line, env=environment, cwd=cwd, capture_output=True, text=True, timeout=PATIENCE)


def fetched(hub, name, folder):
    """The Space's files in an empty folder, as the machine that builds it would have them."""
    code = f'answer = hub.snapshot_download("{name}", repo_type="space", local_dir="space")'
    return Path(run_client(code, hub.environment(), folder))


# ---------------------------------------------------------------- what is deployed


@pytest.mark.slow
def test_the_deployed_files_alone_serve_the_page_with_the_shipped_styles(hub, space, tmp_path):
    done = command(["deploy-space", space], hub.environment("painter"))
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{hub.endpoint}/spaces/{space}\n", "")
    folder = fetched(hub, space, tmp_path)
    with socket.socket() as free:
        free.bind((HOST, 0))
        port = free.getsockname()[1]
    served = {"GRADIO_SERVER_NAME": HOST, "GRADIO_SERVER_PORT": str(port), "GRADIO_TEMP_DIR": str(tmp_path / "files")}
    environment = {**hub.environment(home=tmp_path / "home"), **served}
    environment.pop("PYTHONPATH", None)
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen([sys.executable, "app.py"], cwd=folder, env=environment, stdout=log, stderr=log)
        try:
            answer = first_answer(f"http://{HOST}:{port}/config", process, tmp_path / "log")
        finally:
            process.terminate()
            process.wait(60)
    assert "The Great Wave" in answer


def first_answer(url, process, log):
    deadline = time.monotonic() + PATIENCE
    while process.poll() is None and time.monotonic() < deadline:
        try:
            return httpx.get(url, trust_env=False, timeout=PATIENCE).raise_for_status().text
        except httpx.TransportError:
            time.sleep(0.1)
    raise AssertionError(f"the page did not answer:\n{log.read_text()}")


def test_a_space_has_what_it_needs_and_no_more(hub, space, client):
    client.call("hub.spaces", "deploy_space", space, private=True)
    repo = hub.repo(space, "space")
    assert repo.private
    assert [commit.title for commit in repo.history()] == ["Deploy the page", "initial commit"]
    paths = repo.paths()
    assert {
        "README.md",
        "app.py",
        "requirements.txt",
        "styletransfer/page/app.py",
        "styles/starry-night/config.json",
    } <= set(paths)
    tops = {"README.md", "LICENSE", "app.py", "requirements.txt", "styletransfer", "styles", "examples", "assets"}
    assert {path.split("/")[0] for path in paths} == tops
    assert not [path for path in paths if "__pycache__" in path or "/." in path]
    for path in paths:
        if path != "README.md":
            assert repo.read(path) == (ROOT / path).read_bytes()
    settings = front_matter(hub)
    assert (settings["sdk"], settings["app_file"]) == ("gradio", "app.py")
    assert {"title", "emoji", "sdk_version", "python_version", "license"} <= settings.keys()
    assert settings["thumbnail"] == f"{hub.endpoint}/spaces/{space}/resolve/main/assets/preview.jpg"
    assert repo.read("assets/preview.jpg") and repo.read("assets/icon.png")
    assert "preload_from_hub" not in settings
    assert repo.settings["sdk"] == "gradio"


def test_deploying_again_renews_the_files_and_takes_the_old_ones_away(hub, space, client):
    client.call("hub.spaces", "deploy_space", space)
    first = hub.repo(space, "space").head
    hub.put(space, {"styletransfer/gone.py": "", "requirements.txt": "old"}, "space")
    client.call("hub.spaces", "deploy_space", space)
    repo = hub.repo(space, "space")
    assert dict(repo.head.files) == dict(first.files)


@pytest.mark.slow
def test_packs_are_pinned_so_that_the_built_space_needs_no_network_for_them(hub, space, client, pack, photo, tmp_path):
    client.call("hub.spaces", "deploy_space", space, packs=["painter/pack"])
    (pin,) = front_matter(hub)["preload_from_hub"]
    assert pin == f"painter/pack config.json,diffusion_pytorch_model.safetensors {pack}"
    offered = hub.repo(space, "space").settings["variables"]["STYLETRANSFER_PACKS"]["value"]
    assert offered == f"painter/pack@{pack}"
    # Build: fetch what the pin says. Run: paint with it, without a network.
    repo, names, commit = pin.split(" ")
    home = hub.environment(home=tmp_path / "home")
    code = f'answer = [hub.hf_hub_download("{repo}", name, revision="{commit}") for name in "{names}".split(",")]'
    run_client(code, home, tmp_path)
    photo.save(tmp_path / "photo.png")
    hub.put("painter/pack", {"config.json": "{}"})  # what comes later does not matter
    arguments = [tmp_path / "photo.png", "--pack", offered, "--style", "red", "-o", tmp_path / "painted.png"]
    done = command(arguments, {**home, "HF_HUB_OFFLINE": "1"}, cwd=fetched(hub, space, tmp_path))
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "painted.png").exists()


# ---------------------------------------------------------------- without a server


@pytest.fixture
def site(tmp_path):
    """What marks a page that `export --format web` has written, in small."""
    for name, content in (("index.html", "<p>painter"), ("site.json", "{}"), ("models/0-red.onnx", "\x00\x01")):
        (tmp_path / "site" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "site" / name).write_text(content)
    return tmp_path / "site"


def test_a_static_space_has_the_page_and_lets_it_use_all_cores(hub, space, client, site):
    address = client.call("hub.spaces", "deploy_static_space", space, site)
    assert address == f"{hub.endpoint}/spaces/{space}"
    repo = hub.repo(space, "space")
    assert set(repo.paths()) == {"README.md", "index.html", "site.json", "models/0-red.onnx"}
    assert repo.read("models/0-red.onnx") == b"\x00\x01"
    assert repo.settings["sdk"] == "static" and not repo.settings.get("variables")
    settings = front_matter(hub)
    assert settings["sdk"] == "static" and settings["title"] and not settings.keys() & {"sdk_version", "app_file"}
    assert settings["custom_headers"]["cross-origin-embedder-policy"] == "require-corp"
    assert len(settings["short_description"]) <= 60  # the Hub refuses more


def test_a_space_of_ours_changes_its_kind_and_back(hub, space, client, site):
    client.call("hub.spaces", "deploy_space", space)
    client.call("hub.spaces", "deploy_static_space", space, site)
    assert "app.py" not in hub.repo(space, "space").paths()
    client.call("hub.spaces", "deploy_space", space)
    assert "site.json" not in hub.repo(space, "space").paths() and front_matter(hub)["sdk"] == "gradio"


def test_a_static_space_of_somebody_else_and_a_folder_without_a_page_are_left_alone(hub, space, client, site):
    before = hub.put(space, {"index.html": "mine", "README.md": "---\nsdk: static\n---\n"}, "space")
    with pytest.raises(RefusalError, match="holds another app"):
        client.call("hub.spaces", "deploy_static_space", space, site)
    assert hub.repo(space, "space").head is before
    (site / "site.json").unlink()
    with pytest.raises(RefusalError, match=r"is no exported page, it has no site\.json"):
        client.call("hub.spaces", "deploy_static_space", space, site)


def test_an_installed_library_says_that_a_static_space_needs_a_clone(monkeypatch, site, tmp_path):
    monkeypatch.setattr(spaces, "ROOT", tmp_path)
    with pytest.raises(
        InputError, match=r"is not a checkout of this project, it has no README\.md: deploy from a clone"
    ):
        spaces.deploy_static_space(SPACE, site)


@pytest.mark.slow
def test_the_command_exports_the_shipped_styles_and_packs_of_the_hub_and_deploys_them(hub, space, pack, tmp_path):
    try:
        fetched_runtime()
    except InputError as error:
        pytest.skip(str(error))
    done = command(["deploy-space", space, "--static", "--packs", "painter/pack"], hub.environment("painter"))
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{hub.endpoint}/spaces/{space}\n", "")
    folder = fetched(hub, space, tmp_path)
    styles = {style["name"]: style["file"] for style in json.loads((folder / "site.json").read_text())["styles"]}
    assert {"starry-night", "great-wave", "red"} <= styles.keys()
    assert all((folder / file).is_file() for file in styles.values())


# ---------------------------------------------------------------- what fails


@pytest.mark.parametrize(
    ("path", "kind", "options"),
    [
        ("/api/repos/create", "error", {"status": 500}),
        ("*/variables", "rate-limit", {"retry_after": 1}),
        ("*/commit/*", "lose-answer", {}),
    ],
)
def test_a_passing_failure_is_tried_again_and_makes_one_commit(hub, space, client, path, kind, options):
    fault = hub.fail(path, kind, **options)
    client.call("hub.spaces", "deploy_space", space)
    assert fault.hits == 1
    assert len(hub.repo(space, "space").history()) == 2


@pytest.mark.slow
def test_a_hub_that_falls_silent_is_not_waited_for_for_ever(hub, space):
    fault = hub.fail("*/commit/*", "slow", seconds=3600)
    with Client({**hub.environment("painter"), "HF_HUB_DOWNLOAD_TIMEOUT": "1"}) as client:
        client.call("hub.spaces", "deploy_space", space)
        assert "attempt 1 of 5" in client.log[0]
    assert fault.hits == 1
    assert len(hub.repo(space, "space").history()) == 2


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("name", {}, "not a valid Space name: write org/name"),
        (SPACE, {"packs": ["runs/mine/pack"]}, "not a valid name of a pack on the Hub: write org/name"),
        (SPACE, {"packs": ["painter/none"]}, "no pack painter/none"),
        (SPACE, {"packs": ["painter/broken"]}, "painter/broken is not a style pack: its config.json does not describe"),
        ("visitor/page", {}, "Space visitor/page"),
    ],
)
def test_what_cannot_be_deployed_is_said_in_a_sentence_and_makes_no_space(
    hub, space, client, pack, name, options, words
):
    files = hub.repo("painter/pack").head.files
    hub.put("painter/broken", {each: hub.repo("painter/pack").read(each) for each in files} | {"config.json": "{}"})
    with pytest.raises(RefusalError, match=words):
        client.call("hub.spaces", "deploy_space", name, **options)
    assert hub.store.repo(name, "space") is None


def test_of_a_private_pack_in_a_public_space_is_warned(hub, space, client, tiny_pack):
    hub.put("painter/secret", {path.name: path.read_bytes() for path in tiny_pack.iterdir()}, private=True)
    client.call("hub.spaces", "deploy_space", space, packs=["painter/secret"], private=True)
    assert client.log == []
    hub.store.delete(hub.store.repo(SPACE, "space"))
    client.call("hub.spaces", "deploy_space", space, packs=["painter/secret"])
    (warning,) = client.log
    assert warning.startswith(f"Pack painter/secret is private and Space {space} is not")


def test_a_space_with_another_app_is_left_alone(hub, space, client):
    before = hub.put(space, {"app.py": "print()", "README.md": "---\nsdk: gradio\n---\n"}, "space")
    with pytest.raises(RefusalError, match="holds another app"):
        client.call("hub.spaces", "deploy_space", space)
    assert hub.repo(space, "space").head is before


def test_a_public_space_is_not_taken_for_a_private_one(hub, space, client):
    before = hub.put(space, {"README.md": "---\nsdk: gradio\n---\n"}, "space")
    with pytest.raises(RefusalError, match="exists already and is public"):
        client.call("hub.spaces", "deploy_space", space, private=True)
    assert hub.repo(space, "space").head is before


def test_a_token_that_may_only_read_deploys_nothing(hub, space, client):
    before = hub.put(space, {"README.md": "---\nsdk: gradio\n---\n"}, "space")
    with pytest.raises(RefusalError, match="write access"):
        client.call("hub.spaces", "deploy_space", space, token=hub.token("painter", "read"))
    assert hub.repo(space, "space").head is before


def test_an_installed_library_without_the_page_deploys_nothing(hub, space, tmp_path):
    shutil.copytree(ROOT / "styletransfer", tmp_path / "styletransfer")
    done = command(["deploy-space", space], hub.environment("painter"), cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert f"{tmp_path} is not a checkout of this project, it has no app.py" in done.stderr
    assert hub.store.repo(space, "space") is None
