"""Packs pushed, pulled and found: our code and the real client over HTTP, with a Hub that fails as it is told."""

import json
import re
import subprocess
import sys
import zlib
from pathlib import Path

import pytest
import torch
from fake_hub.pack_client import ROOT, Client, RefusalError, own_name, refused
from fake_hub.server import hub as running_hub
from huggingface_hub import ModelCard
from PIL import Image
from safetensors.torch import load_file, save_file
from small_generators import add_discriminator

from styletransfer.packs.card import write_card
from styletransfer.packs.folder import load_discriminator, load_pack

CONFIG, WEIGHTS = "config.json", "diffusion_pytorch_model.safetensors"


@pytest.fixture(scope="module")
def client(running):
    """A process that logs in by the token it is given."""
    with Client(running.environment()) as client:
        yield client


@pytest.fixture
def call(hub, client):
    """Call a function of styletransfer.hub.packs in another process, as a user."""

    def call(function, *arguments, user="painter", role="write", **options):
        token = hub.token(user, role) if user else None
        return client.call("hub.packs", function, *arguments, token=token, **options)

    return call


@pytest.fixture
def name(request):
    """A repository that no other test uses."""
    return own_name(request)


@pytest.fixture
def pack(tiny_pack, name):
    """A pack like no other, with a sample, a recipe and a card, and with files that are no part of a pack."""
    (tiny_pack / "samples").mkdir()
    Image.new("RGB", (16, 16), "red").save(tiny_pack / "samples/red.webp")
    (tiny_pack / "training_config.json").write_text('{"steps": 3}')
    weights = load_file(tiny_pack / WEIGHTS)
    weights["to_rgb.bias"][0] = zlib.crc32(name.encode()) / 2**32  # the Hub asks for no content that it has
    save_file(weights, tiny_pack / WEIGHTS)
    add_discriminator(tiny_pack, seed=zlib.crc32(name.encode()))
    write_card(tiny_pack)
    for other in ("notes.txt", "optimizer.bin", ".env", "samples/raw.png", "discriminator/optimizer.bin"):
        (tiny_pack / other).write_text("not for the world")
    return tiny_pack


PACK_FILES = {CONFIG, WEIGHTS, "README.md", "training_config.json", "samples/red.webp"}
PACK_FILES |= {f"discriminator/{CONFIG}", f"discriminator/{WEIGHTS}"}


def retitle(pack, title):
    config = json.loads((pack / CONFIG).read_text())
    config["styles"][0][1] = title
    (pack / CONFIG).write_text(json.dumps(config))


# ---------------------------------------------------------------- push


def test_a_pack_is_pushed_as_one_commit_with_its_files_only_and_tagged(hub, call, name, pack):
    before = {path: path.read_bytes() for path in pack.rglob("*") if path.is_file()}
    address = call("push_pack", pack, name)
    repo = hub.repo(name)
    assert [commit.title for commit in repo.history()] == ["Push style pack", "initial commit"]
    assert address == f"{hub.endpoint}/{name}/commit/{repo.head.sha}"
    assert set(repo.paths()) == PACK_FILES
    assert repo.tags == {"v1": repo.head}
    assert repo.read(WEIGHTS) == (pack / WEIGHTS).read_bytes()
    card = ModelCard(repo.read("README.md").decode())
    assert f'from_pretrained("{name}")' in card.text
    assert card.data.thumbnail == f"{hub.endpoint}/{name}/resolve/main/samples/red.webp"
    assert {path: path.read_bytes() for path in pack.rglob("*") if path.is_file()} == before


def test_the_same_pack_again_makes_no_commit_and_a_changed_one_the_next_version(hub, call, name, pack):
    first = call("push_pack", pack, name)
    assert call("push_pack", pack, name) == first
    (pack / "samples/red.webp").unlink()
    retitle(pack, "Crimson")
    call("push_pack", pack, name)
    repo = hub.repo(name)
    assert len(repo.history()) == 3
    assert set(repo.paths()) == PACK_FILES - {"samples/red.webp"}, "a file that left the pack stayed on the Hub"
    assert sorted(repo.tags) == ["v1", "v2"] and repo.tags["v2"] == repo.head


def test_a_pack_goes_to_a_branch_under_a_given_tag_in_a_private_repository(hub, call, name, pack):
    call("push_pack", pack, name, private=True, revision="trial", tag="first")
    repo = hub.repo(name)
    assert repo.private
    assert set(repo.paths("trial")) == PACK_FILES and repo.paths("main") == []
    assert repo.tags == {"first": repo.branches["trial"]}
    call("push_pack", pack, name, revision="trial", tag="first")  # the same pack again
    assert repo.tags == {"first": repo.branches["trial"]}


def test_a_tag_that_exists_is_refused_before_anything_is_committed(hub, call, name, pack):
    call("push_pack", pack, name, tag="first")
    head = hub.repo(name).head
    retitle(pack, "Crimson")
    assert f"{name} has a tag first already: nothing was pushed" in refused(call, "push_pack", pack, name, tag="first")
    assert hub.repo(name).head is head and hub.repo(name).tags == {"first": head}
    call("push_pack", pack, name, tag="second")
    assert "nothing was pushed" in refused(call, "push_pack", pack, name, tag="first")  # it is not on the newest commit
    assert hub.repo(name).tags == {"first": head, "second": hub.repo(name).head}


def test_a_pack_on_the_way_says_so_in_commit_and_tag_and_counts_as_a_version(hub, call, name, pack):
    call("push_pack", pack, name, note="step 4 of 20")
    retitle(pack, "Crimson")
    call("push_pack", pack, name)
    repo = hub.repo(name)
    assert [commit.title for commit in repo.history()][:2] == ["Push style pack", "Push style pack, step 4 of 20"]
    assert sorted(repo.tags) == ["v1-step-4-of-20", "v2"]


def test_offline_a_push_says_what_to_unset_and_a_search_too(hub, name, pack):
    def run(*arguments):
        environment = {**hub.environment("painter"), "HF_HUB_OFFLINE": "1"}
        command = [sys.executable, "-m", "styletransfer", *map(str, arguments)]
        done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True)
        return done.returncode, done.stderr

    end = ": unset it and try again.\n"
    for arguments, what in ((("push", pack, name), f"repository {name}"), (("search",), "list of packs")):
        code, err = run(*arguments)
        assert (code, err) == (2, f"error: HF_HUB_OFFLINE is set, so that the Hub cannot be reached for {what}{end}")


def test_a_pack_meant_to_be_private_never_goes_to_a_public_repository(hub, call, name, pack):
    hub.put(name, {"notes.md": "open"})
    assert "exists already and is public" in refused(call, "push_pack", pack, name, private=True)
    assert hub.repo(name).paths() == ["notes.md"]


def test_files_of_others_in_the_repository_stay(hub, call, name, pack):
    hub.put(name, {"demo.ipynb": "{}", "samples/old.webp": b"\0"})
    call("push_pack", pack, name)
    assert set(hub.repo(name).paths()) == PACK_FILES | {"demo.ipynb"}


@pytest.mark.parametrize(
    ("path", "method", "kind", "options"),
    [
        ("/api/repos/create", None, "error", {"status": 500}),
        ("*/preupload/*", None, "rate-limit", {"retry_after": 1}),
        ("/lfs/*", "PUT", "cut", {"after_bytes": 1000}),
        ("*/commit/*", None, "error", {"status": 503}),
        ("*/commit/*", None, "cut", {}),
        ("*/commit/*", None, "lose-answer", {}),
        ("*/tag/*", None, "lose-answer", {}),
        ("*/refs", None, "error", {"status": 502}),
    ],
)
def test_a_passing_failure_is_tried_again_and_makes_one_commit(hub, call, name, pack, path, method, kind, options):
    fault = hub.fail(path, kind, method=method, **options)
    call("push_pack", pack, name)
    repo = hub.repo(name)
    assert fault.hits == 1
    assert len(repo.history()) == 2 and set(repo.paths()) == PACK_FILES
    assert repo.tags == {"v1": repo.head}
    assert repo.read(WEIGHTS) == (pack / WEIGHTS).read_bytes()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"role": "read"}, "write access"),
        ({"user": "visitor"}, "write access"),
        ({"user": None}, "log in"),
    ],
)
def test_a_push_without_the_right_is_refused_at_once(hub, call, name, pack, options, words):
    hub.put(name, {"README.md": "mine"})
    assert words in refused(call, "push_pack", pack, name, **options)
    assert hub.repo(name).paths() == ["README.md"]
    asked = [(served.method, served.path) for served in hub.served]
    assert len(asked) == len(set(asked)), "what cannot pass was tried again"


def test_what_arrives_changed_at_the_hub_is_refused_and_goes_through_the_next_time(hub, call, name, pack):
    hub.fail("/lfs/*", "corrupt", method="PUT")
    assert "error 400" in refused(call, "push_pack", pack, name)
    assert hub.repo(name).paths() == []
    call("push_pack", pack, name)
    assert hub.repo(name).read(WEIGHTS) == (pack / WEIGHTS).read_bytes()


def test_a_hub_that_stays_broken_is_given_up_and_the_next_push_succeeds(hub, call, name, pack):
    fault = hub.fail("*/commit/*", "rate-limit", retry_after=0, times=None)
    sentence = refused(call, "push_pack", pack, name, private=True, tag="first")
    assert "too many requests" in sentence
    assert fault.hits >= 5 and hub.repo(name).paths() == []
    hub.heal()
    call("push_pack", pack, name, private=True, tag="first")
    assert hub.repo(name).tags == {"first": hub.repo(name).head}


def test_what_the_hub_says_of_a_full_storage_is_passed_on(hub, call, name, pack):
    hub.fail("*/commit/*", "quota")
    assert "storage limit reached" in refused(call, "push_pack", pack, name)
    assert hub.repo(name).paths() == []
    call("push_pack", pack, name)
    assert set(hub.repo(name).paths()) == PACK_FILES


@pytest.mark.parametrize("repo_id", ["name", "org/name@v1", "../x", "a/b/c"])
def test_a_name_that_no_repository_can_have_is_refused(hub, call, pack, repo_id):
    assert "write org/name" in refused(call, "push_pack", pack, repo_id)
    assert hub.served == []


def test_an_unsound_pack_is_not_pushed(hub, call, name, pack):
    (pack / WEIGHTS).write_bytes((pack / WEIGHTS).read_bytes()[:200])
    assert "cannot be read" in refused(call, "push_pack", pack, name)
    assert hub.served == []


def test_an_unsound_discriminator_is_not_pushed(hub, call, name, pack):
    weights = pack / "discriminator" / WEIGHTS
    weights.write_bytes(weights.read_bytes()[:200])
    assert "cannot be read" in refused(call, "push_pack", pack, name)
    assert hub.served == []


def test_a_card_that_the_hub_would_not_take_is_not_pushed(hub, call, name, pack):
    (pack / "README.md").write_text("---\nlicense: 5\n---\n# Mine\n")
    assert f'in README.md for repository {name}: "license" must be a string.' in refused(call, "push_pack", pack, name)
    assert hub.repo(name).paths() == []


# ---------------------------------------------------------------- pull


def test_a_pulled_pack_is_the_pushed_one_and_replaces_an_older_one(hub, call, name, pack, tmp_path):
    call("push_pack", pack, name)
    folder = tmp_path / "mine"
    assert call("pull_pack", name, folder, user=None) == str(folder)
    assert {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()} == PACK_FILES
    assert not any(path.is_symlink() for path in folder.rglob("*")), "it must outlive the cache"
    pushed, pulled = (load_discriminator(place).state_dict() for place in (pack, folder))
    assert all(torch.equal(pushed[key], pulled[key]) for key in pushed.keys() | pulled.keys())
    retitle(pack, "Crimson")
    call("push_pack", pack, name)
    call("pull_pack", name, folder, user=None)
    assert load_pack(folder).styles["red"] == "Crimson"
    call("pull_pack", f"{name}@v1", folder, user=None)
    assert load_pack(folder).styles["red"] == "Red"


def test_a_folder_with_anything_else_is_never_replaced(hub, call, name, pack, tmp_path):
    assert "is not a style pack: name a new folder" in refused(call, "pull_pack", name, tmp_path)
    assert "is not a style pack: name a new folder" in refused(call, "pull_pack", name, pack)  # it has notes.txt
    assert (pack / "notes.txt").exists()
    assert "create it first" in refused(call, "pull_pack", name, tmp_path / "no/where")


def test_a_failed_pull_leaves_the_older_pack(hub, call, name, pack, tmp_path):
    call("push_pack", pack, name)
    call("pull_pack", name, tmp_path / "mine")
    evil = {CONFIG: (pack / CONFIG).read_text().replace('"Generator"', '"Evil"')}
    hub.put(name, evil)
    assert "does not describe a Generator" in refused(call, "pull_pack", name, tmp_path / "mine")
    assert load_pack(tmp_path / "mine").styles["red"] == "Red"
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


# ---------------------------------------------------------------- search


def card(styles, tag="styletransfer-pack", **more):
    data = {"tags": [tag], "styletransfer": {"styles": [{"name": n, "title": t} for n, t in styles.items()]}, **more}
    return f"---\n{json.dumps(data)}\n---\n# x\n"


@pytest.fixture(scope="module")
def shelf(tmp_path_factory):
    """A Hub with packs of two authors, of which some are odd, and a process that searches it."""
    with running_hub(tmp_path_factory.mktemp("shelf") / "hub") as hub:
        hub.put("painter/old", {"README.md": card({"sea": "The Sea"}), "samples/sea.webp": b"\0", WEIGHTS: b"\0"})
        hub.put("painter/other", {"README.md": card({"x": "X"}, tag="something-else")})
        hub.put("studio/many", {"README.md": card({"a": "A", "b": "B", "c": "C", "d": "<b>D</b>"})})
        hub.put("visitor/private", {"README.md": card({"x": "X"})}, private=True)
        odd = {
            "no-styles": "---\ntags: [styletransfer-pack]\n---\n",
            "text-styles": card({}, styletransfer={"styles": "all"}),
            "bad-name": card({"../x": "X"}),
            "long-title": card({"x": "X" * 10_000}),
            "number": card({}, styletransfer=[1]),
            "hostile": card({"x": "X"}, ignore_metadata_errors=True, **{"model-index": [5]}),
        }
        for name, text in odd.items():
            hub.put(f"visitor/{name}", {"README.md": text})
        hub.put("painter/new", {"README.md": card({"sun": "The Sun"})})
        with Client(hub.environment()) as client:
            yield hub, client


def found(shelf, *arguments, **options):
    return [pack["repo_id"] for pack in shelf[1].call("hub.packs", "search_packs", *arguments, **options)]


def test_packs_are_found_newest_first_whatever_stands_on_the_cards_of_others(shelf):
    assert found(shelf) == ["painter/new", "studio/many", "painter/old"]
    assert len([line for line in shelf[1].log if "left out" in line]) == 6


def test_only_packs_of_the_authors_and_those_named_are_found(shelf):
    assert found(shelf, ["painter"]) == ["painter/new", "painter/old"]
    assert found(shelf, ["studio", "painter", "nobody"]) == ["painter/new", "studio/many", "painter/old"]
    assert found(shelf, repos=["painter/other", "studio/many@main"]) == ["studio/many", "painter/other"]
    assert found(shelf, ["visitor"], token=shelf[0].token("visitor")) == ["visitor/private"]


def test_what_is_found_tells_title_styles_sample_and_commit_without_any_file_fetched(shelf):
    hub, client = shelf
    hub.served.clear()
    by_name = {pack["repo_id"]: pack for pack in client.call("hub.packs", "search_packs")}
    sha = hub.repo("painter/old").head.sha
    old = by_name["painter/old"]
    assert (old["title"], old["styles"], old["sha"]) == ("The Sea", {"sea": "The Sea"}, sha)
    assert old["thumbnail"] == f"{hub.endpoint}/painter/old/resolve/{sha}/samples/sea.webp"
    assert by_name["studio/many"]["title"] == "A, B, C and 1 more"
    assert by_name["studio/many"]["thumbnail"] is None
    assert [served.path for served in hub.served if "/resolve/" in served.path] == []


def test_a_named_pack_that_fails_is_left_out_and_said_and_all_failing_is_refused(shelf):
    hub, client = shelf
    assert found(shelf, ["painter"], repos=["painter/none", "no name"]) == ["painter/new", "painter/old"]
    assert "painter/none" in client.log[0] and "no name" in client.log[1]
    with hub.down(), pytest.raises(RefusalError, match="could not be reached"):
        found(shelf)
    for kind, words in (("error", "error 500"), ("rate-limit", "too many requests"), ("corrupt", "cannot be read")):
        hub.fail("/api/models", kind)
        with pytest.raises(RefusalError, match=words):
            found(shelf)
    assert found(shelf, ["painter"]) == ["painter/new", "painter/old"]


# ---------------------------------------------------------------- commands


def test_the_commands_push_search_and_pull(hub, name, pack, tmp_path):
    def run(*arguments):
        command = [sys.executable, "-m", "styletransfer", *map(str, arguments)]
        done = subprocess.run(command, env=hub.environment("painter"), cwd=ROOT, capture_output=True, text=True)
        return done.returncode, done.stdout, done.stderr

    code, out, err = run("push", pack, name, "--private", "--tag", "first")
    assert (code, out, err) == (0, f"{hub.endpoint}/{name}/commit/{hub.repo(name).head.sha}\n", "")
    assert hub.repo(name).private and "first" in hub.repo(name).tags
    code, out, err = run("search", "--author", "painter")
    assert (code, err) == (0, "")
    assert re.search(rf"^{name}@{hub.repo(name).head.sha}  \d{{4}}-\d\d-\d\d  Red, Blue  \(red, blue\)$", out, re.M)
    assert run("pull", f"{name}@first", tmp_path / "mine") == (0, f"{tmp_path / 'mine'}\n", "")
    assert load_pack(tmp_path / "mine").styles == {"red": "Red", "blue": "Blue"}
    assert run("search", "--author", "nobody") == (0, "", "There is no style pack by nobody on the Hub.\n")
    code, out, err = run("pull", "painter/none", tmp_path / "none")
    assert (code, out) == (2, "")
    assert err.startswith("error: The Hub has no pack painter/none") and err.count("\n") == 1
    assert not Path(tmp_path / "none").exists()
    with hub.down():
        code, out, err = run("search")
    assert (code, out) == (2, "")
    assert err == "error: The Hub could not be reached for list of packs: check the network and try again.\n"
