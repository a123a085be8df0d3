"""Packs by their names on the Hub: fetched, cached, noticed when moved, refused when unsafe; over real HTTP."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from fake_hub.pack_client import Client, RefusalError, own_name, refused
from PIL import Image
from small_generators import add_discriminator

from styletransfer.errors import InputError
from styletransfer.hub.repos import Repo, parse_repo, resolve_pack
from styletransfer.packs.folder import load_discriminator, load_pack

CONFIG, WEIGHTS = "config.json", "diffusion_pytorch_model.safetensors"


@pytest.fixture(scope="module")
def clients(running):
    """Two processes with one cache: one that may use the network, one told not to."""
    environment = running.environment()
    with Client(environment) as online, Client({**environment, "HF_HUB_OFFLINE": "1"}) as offline:
        yield {False: online, True: offline}


@pytest.fixture
def resolve(hub, clients):
    """The folder that a source resolves to in another process."""

    def resolve(source, user=None, *, offline=False, **options):
        options |= {"token": hub.token(user)} if user else {}
        return Path(clients[offline].call("hub.repos", "resolve_pack", source, **options))

    return resolve


@pytest.fixture
def pack(request):
    """A name on the Hub that no other test uses."""
    return own_name(request)


@pytest.fixture
def pack_files(tiny_pack):
    """Name in the repository -> content, of a sound pack."""
    (tiny_pack / "samples").mkdir()
    Image.new("RGB", (16, 16), "red").save(tiny_pack / "samples/red.webp")
    (tiny_pack / "README.md").write_text("# A pack\n")
    add_discriminator(tiny_pack)
    files = [path for path in tiny_pack.rglob("*") if path.is_file()]
    return {path.relative_to(tiny_pack).as_posix(): path.read_bytes() for path in files}


def files_in(folder):
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def fetched(hub):
    """The names of the files that were sent to anybody."""
    return {served.path.partition("/resolve/")[2].split("/", 1)[1] for served in hub.served if is_download(served)}


def is_download(served):
    return served.method == "GET" and "/resolve/" in served.path


def retitled(pack_files, title):
    config = json.loads(pack_files[CONFIG])
    config["styles"][0][1] = title
    return {CONFIG: json.dumps(config)}


def first_title(folder):
    return next(iter(load_pack(folder).styles.values()))


# ---------------------------------------------------------------- names


@pytest.mark.parametrize(
    ("text", "repo"),
    [
        ("org/name", Repo("org/name", "main")),
        ("org/name@v2", Repo("org/name", "v2")),
        ("org/name@refs/pr/1", Repo("org/name", "refs/pr/1")),
        ("a.b-c/d_e.f@" + "0" * 40, Repo("a.b-c/d_e.f", "0" * 40)),
        *((text, None) for text in ("name", "a/b/c", "../b", "a/..", "/a/b", "./a", "a/b@", "a/b@../c", "a/b@c/../d")),
        *((text, None) for text in ("a/b@/c", "a b/c", "a/b\n", "a\\b", "", "org/ñ", "https://x/y")),
    ],
)
def test_a_name_on_the_hub_is_told_from_other_texts(text, repo):
    assert parse_repo(text) == repo


def test_a_folder_stays_itself_even_where_a_repository_could_have_its_name(tmp_path, monkeypatch):
    (tmp_path / "org/name").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert resolve_pack("org/name") == Path("org/name")
    assert resolve_pack(tmp_path) == tmp_path


def test_a_path_is_never_looked_up_on_the_hub(tmp_path, pack):
    missing = Path("org/name")
    assert resolve_pack(missing) == missing
    with pytest.raises(InputError, match="no style pack at org/name"):
        load_pack(resolve_pack(missing))


# ---------------------------------------------------------------- the pipeline

ASKED = """
import sys
import torch
from styletransfer import StyleTransferPipeline
from styletransfer.errors import InputError

pack, token, cache = sys.argv[1:]
pipeline = StyleTransferPipeline.from_pretrained(pack, revision="main", token=token, cache_dir=cache, device="cpu")
print(*pipeline.styles)
again = StyleTransferPipeline.from_pretrained(pack, cache_dir=cache, local_files_only=True, torch_dtype=torch.float32)
print(*again.to("cpu").styles)
for wrong in ({"token": "hf_wrong"}, {"local_files_only": True, "cache_dir": cache + "-other"}):
    try:
        StyleTransferPipeline.from_pretrained(pack, **wrong)
    except InputError as error:
        print(error)
"""


def test_the_pipeline_takes_a_private_pack_by_revision_token_and_cache(hub, pack_files, pack, tmp_path):
    hub.put(pack, pack_files, private=True)
    owner = hub.token(pack.partition("/")[0])
    command = [sys.executable, "-c", ASKED, pack, owner, tmp_path / "cache"]
    done = subprocess.run(command, env=hub.environment(), capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    named, cached, refused_token, not_here = done.stdout.splitlines()
    assert named == cached == "red blue"
    assert "does not accept your token" in refused_token
    assert pack in not_here and not_here.endswith(".")
    assert list((tmp_path / "cache").rglob(WEIGHTS)) and hub.served


# ---------------------------------------------------------------- fetching and the cache


def test_a_pack_arrives_with_its_own_files_and_no_others(hub, pack_files, pack, resolve):
    others = {"pytorch_model.bin": b"\x80\x04.", "pipeline.py": "import os", "samples/x.svg": "<svg/>", "notes.md": "-"}
    others["samples/Not A Style.webp"] = b"\0"
    others |= {"discriminator/model.bin": b"\x80\x04.", "discriminator/code.py": "import os", "other/config.json": "{}"}
    hub.put(pack, {**pack_files, **others})
    folder = resolve(pack)
    assert files_in(folder) == pack_files.keys() == fetched(hub)
    assert {name: (folder / name).read_bytes() for name in pack_files} == pack_files
    assert first_title(folder) == "Red"


def test_a_fetched_pack_is_usable_offline_and_when_the_hub_is_down(hub, pack_files, pack, resolve, clients):
    hub.put(pack, pack_files)
    folder = resolve(pack)
    assert resolve(pack, offline=True) == folder
    assert clients[True].log == [], "who asked for no network is told that there is none"
    with hub.down():
        assert resolve(pack) == folder
        assert "using the copy in the cache" in clients[False].log[0]
    hub.fail("/api/models/*", "error", status=503)
    assert resolve(pack) == folder


def test_a_moved_branch_is_noticed_and_a_pinned_commit_stays(hub, pack_files, pack, resolve):
    old = hub.put(pack, pack_files).sha
    assert first_title(resolve(pack)) == "Red"
    hub.put(pack, retitled(pack_files, "Crimson"))
    assert first_title(resolve(pack)) == "Crimson"
    assert first_title(resolve(pack, offline=True)) == "Crimson"
    before = len(hub.served)
    assert first_title(resolve(f"{pack}@{old}")) == "Red"
    assert len(hub.served) == before, "a commit that is here was asked for again"


def test_a_pinned_commit_and_a_tag_are_fetched_from_an_empty_cache(hub, pack_files, pack, resolve):
    commit = hub.put(pack, pack_files)
    hub.repo(pack).tags["v1"] = commit
    hub.put(pack, retitled(pack_files, "Crimson"))
    assert first_title(resolve(f"{pack}@{commit.sha}")) == "Red"
    assert first_title(resolve(f"{pack}@v1", "visitor")) == "Red"
    assert first_title(resolve(f"{pack}@v1", "visitor", offline=True)) == "Red"


def test_a_private_and_a_gated_pack_come_with_the_right_token(hub, pack_files, resolve):
    hub.put("painter/inner", pack_files, private=True)
    hub.put("painter/gate", pack_files, gated="auto")
    hub.repo("painter/gate").readers.add("visitor")
    assert first_title(resolve("painter/inner", "painter")) == "Red"
    assert first_title(resolve("painter/gate", "visitor")) == "Red"


def test_a_copy_that_went_bad_in_the_cache_is_fetched_anew(hub, pack_files, pack, resolve):
    hub.put(pack, pack_files)
    weights = (resolve(pack) / WEIGHTS).resolve()
    weights.write_bytes(pack_files[WEIGHTS][:-1] + bytes([pack_files[WEIGHTS][-1] ^ 1]))
    assert (resolve(pack) / WEIGHTS).read_bytes() == pack_files[WEIGHTS]


def test_a_connection_cut_once_in_the_middle_of_a_file_does_no_harm(hub, pack_files, pack, resolve):
    hub.put(pack, pack_files)
    fault = hub.fail(f"*/{WEIGHTS}", "cut", method="GET", after_bytes=1000)
    assert (resolve(pack) / WEIGHTS).read_bytes() == pack_files[WEIGHTS]
    assert fault.hits == 1


# ---------------------------------------------------------------- what fails: one sentence, nothing lost


@pytest.mark.parametrize(
    ("source", "user", "words"),
    [
        ("painter/nothing", None, "no pack painter/nothing, or it is private"),
        ("painter/nothing", "visitor", "no pack painter/nothing, or it is private"),
        ("painter/private", None, "private"),
        ("painter/private", "visitor", "private"),
        ("painter/gated", None, "gated: request access"),
        ("painter/gated", "visitor", "gated: request access"),
        ("{pack}@v9", None, "its repository has no such revision"),
        ("{pack}@" + "0" * 40, None, "has no such revision"),
        ("painter/a--b", None, "is not a valid repository name"),
    ],
)
def test_a_pack_that_may_not_be_had_is_refused_in_a_sentence(hub, pack_files, source, user, words, pack, resolve):
    hub.put(pack, pack_files)
    hub.put("painter/private", pack_files, private=True)
    hub.put("painter/gated", pack_files, gated="manual")
    assert words in refused(resolve, source.format(pack=pack), user)


def test_a_token_that_the_hub_does_not_know_is_named(hub, pack_files, pack, resolve):
    hub.put(pack, pack_files)
    assert "does not accept your token" in refused(resolve, pack, token="hf_wrong")


def test_offline_and_not_in_the_cache_is_said(hub, pack, resolve):
    assert "HF_HUB_OFFLINE is set" in refused(resolve, pack, offline=True)
    with hub.down():
        assert "could not be reached" in refused(resolve, pack)


@pytest.mark.parametrize(
    ("path", "method", "kind", "options", "words"),
    [
        ("/api/models/*", None, "error", {"status": 500}, "(error 500)"),
        ("/api/models/*", None, "rate-limit", {}, "too many requests"),
        ("/api/models/*", None, "cut", {}, "could not be reached"),
        ("/api/models/*", None, "corrupt", {}, "cannot be read"),
        (f"*/{WEIGHTS}", "GET", "corrupt", {}, "does not arrive as it was uploaded"),
        (f"*/{CONFIG}", "GET", "corrupt", {}, "does not arrive as it was uploaded"),
        (f"*/{WEIGHTS}", "GET", "cut", {}, "could not be reached"),
        (f"*/{WEIGHTS}", "GET", "error", {"status": 502}, "error 502"),
        ("*/samples/red.webp", None, "missing", {}, "is missing on the Hub"),
    ],
)
def test_a_failure_on_the_way_is_a_sentence_and_the_next_try_succeeds(
    hub, pack_files, path, method, kind, options, words, pack, resolve
):
    hub.put(pack, pack_files)
    hub.fail(path, kind, method=method, times=None, **options)
    assert words in refused(resolve, pack)
    assert "HF_HUB_OFFLINE is set" in refused(resolve, pack, offline=True), "half a pack is taken for one"
    hub.heal()
    folder = resolve(pack)
    assert {name: (folder / name).read_bytes() for name in pack_files} == pack_files


def test_a_slow_answer_is_waited_for_no_longer_than_told_and_the_next_try_succeeds(hub, pack_files, pack, tmp_path):
    hub.put(pack, pack_files)
    impatient = {**hub.environment(home=tmp_path / "home"), "HF_HUB_ETAG_TIMEOUT": "1", "HF_HUB_DOWNLOAD_TIMEOUT": "1"}
    hub.fail("/api/models/*", "slow", seconds=600)
    download = hub.fail(f"*/{WEIGHTS}", "slow", method="GET", seconds=600)
    with Client(impatient) as client:
        with pytest.raises(RefusalError, match="could not be reached"):
            client.call("hub.repos", "resolve_pack", pack)
        folder = Path(client.call("hub.repos", "resolve_pack", pack))
    assert download.hits == 1, "the client asks for a file again by itself"
    assert {name: (folder / name).read_bytes() for name in pack_files} == pack_files


def test_a_failed_update_leaves_the_pack_fetched_before(hub, pack_files, pack, resolve):
    hub.put(pack, pack_files)
    resolve(pack)
    hub.put(pack, {**retitled(pack_files, "Crimson"), "samples/blue.webp": b"\0new"})
    hub.fail("*/samples/blue.webp", "corrupt", method="GET", times=None)
    assert "does not arrive" in refused(resolve, pack)
    assert first_title(resolve(pack, offline=True)) == "Red"


# ---------------------------------------------------------------- strangers' packs


@pytest.mark.parametrize(
    ("changes", "sizes", "words"),
    [
        ({WEIGHTS: None, "pytorch_model.bin": b"\x80\x04."}, {}, "'pytorch_model.bin', a pickle that could run code"),
        ({WEIGHTS: None, "unet/model.ckpt": b"\x80\x04."}, {}, "'unet/model.ckpt', a pickle"),
        ({WEIGHTS: None}, {}, "no weights"),
        ({CONFIG: None}, {}, "not a style pack: it has no config.json"),
        ({}, {WEIGHTS: 20 * 10**9}, "20,000,000,000 bytes: no pack needs more than"),
        ({}, {CONFIG: 10**9}, "is 1,000,000,000 bytes"),
        ({}, {"samples/red.webp": 10**8}, "samples/red.webp of pack"),
        ({}, {f"discriminator/{WEIGHTS}": 10**9}, f"discriminator/{WEIGHTS} of pack"),
        ({}, {f"discriminator/{CONFIG}": 10**6}, "is 1,000,000 bytes"),
        ({"discriminator/../../x.safetensors": b"\0"}, {}, "points out of its folder"),
        ({"../../.bashrc": "x"}, {}, "'../../.bashrc' points out of its folder"),
        ({"samples/../../x.webp": b"\0"}, {}, "points out of its folder"),
        ({"samples\\..\\..\\x.webp": b"\0"}, {}, "points out of its folder"),
        ({"/etc/passwd": "x"}, {}, "points out of its folder"),
        ({"C:evil.dll": "x"}, {}, "points out of its folder"),
    ],
)
def test_an_unsafe_repository_is_refused_before_anything_is_fetched(
    hub, pack_files, changes, sizes, words, pack, resolve
):
    files = {name: content for name, content in {**pack_files, **changes}.items() if content is not None}
    hub.put(pack, files, declared_sizes=sizes)
    assert words in refused(resolve, pack)
    assert fetched(hub) == set()


def test_a_size_that_is_not_true_is_noticed(hub, pack_files, pack, resolve):
    hub.put(pack, pack_files, declared_sizes={WEIGHTS: len(pack_files[WEIGHTS]) - 1})
    assert "was not downloaded completely" in refused(resolve, pack)


def edited_config(pack_files, **changes):
    return {**pack_files, CONFIG: json.dumps({**json.loads(pack_files[CONFIG]), **changes})}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda files: edited_config(files, _class_name="UNet2DModel"), "does not describe a Generator"),
        (lambda files: edited_config(files, channels=10**9), "channels = 1000000000: it must be"),
        (lambda files: edited_config(files, styles=[["../../x", "X"]]), "styles as name and title"),
        (lambda files: {**files, **retitled(files, "\x1b[2J")}, "styles as name and title"),
        (lambda files: {**files, WEIGHTS: files[WEIGHTS][:500], "model.pt": b"\x80\x04."}, "cannot be read"),
        (lambda files: {**files, WEIGHTS: b"\x80\x04\x95" + bytes(500)}, "cannot be read"),
    ],
)
def test_an_unsound_pack_is_fetched_but_never_loaded(hub, pack_files, change, words, pack, resolve):
    hub.put(pack, change(pack_files))
    folder = resolve(pack)
    assert "model.pt" not in files_in(folder)
    with pytest.raises(InputError, match=words):
        load_pack(folder)


def test_a_pickle_in_place_of_a_discriminator_stays_where_it_is(hub, pack_files, pack, resolve):
    files = {name: content for name, content in pack_files.items() if not name.startswith("discriminator/")}
    hub.put(pack, {**files, "discriminator/pytorch_model.bin": b"\x80\x04."})
    folder = resolve(pack)
    assert files_in(folder) == files.keys()
    assert load_discriminator(folder) is None


def test_remote_code_that_a_config_points_to_is_neither_fetched_nor_run(hub, pack_files, pack, resolve):
    files = edited_config(pack_files, auto_map={"AutoModel": "evil.Evil"}, trust_remote_code=True)
    hub.put(pack, {**files, "evil.py": "raise SystemExit('ran')"})
    assert first_title(resolve(pack)) == "Red"
    assert "evil.py" not in fetched(hub)


def test_html_in_a_title_is_a_title(hub, pack_files, pack, resolve):
    title = "<img src=x onerror=alert(1)>"
    hub.put(pack, {**pack_files, **retitled(pack_files, title)})
    assert first_title(resolve(pack)) == title
