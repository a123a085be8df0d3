"""The loopback Hub with the real clients: huggingface_hub and datasets in processes of their own, over HTTP."""

import io
import json
import tarfile

import numpy as np
import pyarrow
import pytest
from PIL import Image
from pyarrow import parquet

from fake_hub.server import hub
from fake_hub.snippets import run_client

CARD = "---\nlicense: mit\nlibrary_name: styletransfer\npipeline_tag: image-to-image\ntags: [{tag}]\n---\n# {title}\n"
WEIGHTS = np.random.default_rng(0).bytes(300_000)
PACK = {
    "README.md": CARD.format(tag="style-pack", title="Reds & Blües").encode(),
    "config.json": b'{"channels": 8}',
    "diffusion_pytorch_model.safetensors": WEIGHTS,
    "samples/red sky.webp": WEIGHTS[:1000],
    "samples/empty.txt": b"",
}


@pytest.fixture
def running(tmp_path):
    with hub(tmp_path / "hub") as running:
        yield running


def write_files(folder, files):
    for path, content in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)


def read_files(folder):
    paths = [path for path in folder.rglob("*") if path.is_file() and path.name != ".gitattributes"]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths if ".cache" not in path.parts}


# ---------------------------------------------------------------------------------------------------------------------
# Up and down


def test_a_folder_goes_up_and_comes_down_the_same_on_another_machine(running, tmp_path):
    write_files(tmp_path / "pack", PACK)
    code = """
        me = api.whoami()
        url = api.create_repo("painter/pack")
        again = api.create_repo("pack", exist_ok=True)
        refused = failure(api.create_repo, "painter/pack")
        first = api.upload_folder(repo_id="painter/pack", folder_path="pack", commit_message="A pack")
        second = api.upload_folder(repo_id="painter/pack", folder_path="pack")
        answer = [me["name"], me["orgs"][0]["name"], url.repo_id, url == again, refused, first.oid, second.oid]
    """
    *told, first, second = run_client(code, running.environment("painter"), tmp_path)
    assert told == ["painter", "studio", "painter/pack", True, ["HfHubHTTPError", 409]]
    repo = running.repo("painter/pack")
    assert {path: repo.read(path) for path in repo.paths()} == PACK
    assert [commit.title for commit in repo.history()] == ["A pack", "initial commit"]
    assert first == second == repo.head.sha  # what is there already is not committed again
    large = {path for path in repo.paths() if repo.file(path).pointer_size is not None}
    assert large == {"diffusion_pytorch_model.safetensors", "samples/red sky.webp"}

    elsewhere = running.environment("visitor", home=tmp_path / "elsewhere")
    code = """answer = hub.snapshot_download("painter/pack", local_dir="copy", revision="main")"""
    run_client(code, elsewhere, tmp_path)
    assert read_files(tmp_path / "copy") == PACK


def test_commits_add_copy_and_delete_and_refuse_an_outdated_parent(running, tmp_path):
    running.put("studio/pack", {**PACK, "old/a.txt": "a", "old/b.txt": "b"})
    code = """
        operations = [
            Add("notes.txt", b"new"),
            Copy("samples/red sky.webp", "samples/copy.webp"),
            Delete("config.json"),
            Delete("old/"),
        ]
        head = api.model_info("studio/pack").sha
        commit = api.create_commit(
            "studio/pack", operations, commit_message="Change", commit_description="Why", parent_commit=head
        )
        outdated = failure(
            api.create_commit, "studio/pack", [Add("x", b"x")], commit_message="Late", parent_commit=head
        )
        missing = failure(api.delete_file, "nowhere.txt", "studio/pack")
        api.upload_file(path_or_fileobj=b"2", path_in_repo="deep/er.txt", repo_id="studio/pack")
        api.delete_folder("deep", "studio/pack")
        commits = api.list_repo_commits("studio/pack")
        answer = [outdated, missing, [(each.title, each.message, each.authors) for each in commits][2]]
    """
    answer = run_client(code, running.environment("painter"), tmp_path)
    assert answer == [["HfHubHTTPError", 412], ["RemoteEntryNotFoundError", 404], ["Change", "Why", ["painter"]]]
    repo = running.repo("studio/pack")
    assert {*repo.paths()} == {*PACK, "notes.txt", "samples/copy.webp"} - {"config.json"}
    assert repo.read("samples/copy.webp") == PACK["samples/red sky.webp"]


def test_files_come_by_branch_tag_and_commit_and_what_is_missing_is_told_apart(running, tmp_path):
    first = running.put("painter/pack", {"a.txt": "first"})
    running.put("painter/pack", {"a.txt": "second"})
    code = f"""
        pack, first = "painter/pack", "{first.sha}"
        api.create_tag(pack, tag="v1.0", revision=first)
        api.create_branch(pack, branch="try/it", revision="v1.0")
        api.upload_file(path_or_fileobj=b"branched", path_in_repo="a.txt", repo_id=pack, revision="try/it")
        found = [read(pack, "a.txt", revision=revision) for revision in (None, "v1.0", first, first[:8], "try/it")]
        refs = api.list_repo_refs(pack)
        names = [[ref.name for ref in refs.branches], [ref.name for ref in refs.tags]]
        failures = [
            failure(api.create_tag, pack, tag="v1.0"),
            failure(api.create_branch, pack, branch="try/it"),
            failure(hub.hf_hub_download, pack, "a.txt", revision="no-such"),
            failure(hub.hf_hub_download, pack, "b.txt"),
            failure(hub.hf_hub_download, "painter/nothing", "a.txt"),
            failure(api.upload_file, path_or_fileobj=b"", path_in_repo="a", repo_id=pack, revision="no-such"),
            failure(hub.snapshot_download, "no-namespace"),
        ]
        api.delete_branch(pack, branch="try/it")
        api.delete_tag(pack, tag="v1.0")
        api.super_squash_history(pack)
        answer = [found, names, failures, len(api.list_repo_commits(pack))]
    """
    found, names, failures, count = run_client(code, running.environment("painter"), tmp_path)
    assert found == ["second", "first", "first", "first", "branched"]
    assert names == [["main", "try/it"], ["v1.0"]]
    assert [code for _, code in failures] == [409, 409, 404, 404, 404, 404, 404]
    unknown = ["RevisionNotFoundError", "RemoteEntryNotFoundError", "RepositoryNotFoundError", "RevisionNotFoundError"]
    assert [name for name, _ in failures] == ["HfHubHTTPError"] * 2 + unknown + ["RepositoryNotFoundError"]
    assert count == 1
    assert ([*running.repo("painter/pack").branches], running.repo("painter/pack").tags) == (["main"], {})


def test_a_cached_file_is_asked_for_but_not_sent_again_until_the_branch_moves(running, tmp_path):
    environment = running.environment("visitor")
    running.put("painter/pack", {"a.txt": "first"})
    twice = """answer = [read("painter/pack", "a.txt"), read("painter/pack", "a.txt")]"""
    assert run_client(twice, environment, tmp_path) == ["first", "first"]
    assert [served.method for served in running.served if "resolve" in served.path] == ["HEAD", "GET", "HEAD"]
    running.put("painter/pack", {"a.txt": "second"})
    once = """answer = read("painter/pack", "a.txt")"""
    with running.down():
        assert run_client(once, environment, tmp_path) == "first"
    assert run_client(once, environment, tmp_path) == "second"


# ---------------------------------------------------------------------------------------------------------------------
# Looking around


def test_listings_filter_and_come_newest_first_over_several_pages(tmp_path):
    with hub(tmp_path / "hub", page_size=2) as running:
        for number in range(5):
            running.put(f"painter/pack-{number}", {"README.md": CARD.format(tag="style-pack", title=number)})
        running.put("studio/other", {"README.md": CARD.format(tag="something", title="-")})
        running.put("studio/private", {"README.md": CARD.format(tag="style-pack", title="-")}, private=True)
        running.put("painter/pack-1", {f"samples/{number}.txt": b"." for number in range(4)})
        code = """
            found = {
                "tag": [each.id for each in api.list_models(filter="style-pack", token=False)],
                "mine": [each.id for each in api.list_models(filter=["style-pack", "license:mit"], author="studio")],
                "few": [each.id for each in api.list_models(filter="style-pack", sort="created_at", limit=3)],
                "words": [each.id for each in api.list_models(search="OTHER")],
                "tree": [each.path for each in api.list_repo_tree("painter/pack-1", recursive=True)],
                "folder": [each.path for each in api.list_repo_tree("painter/pack-1", "samples", expand=True)],
                "history": len(api.list_repo_commits("painter/pack-1")),
                "datasets": [each.id for each in api.list_datasets()],
            }
            short = next(iter(api.list_models(author="studio", search="other")))
            full = next(iter(api.list_models(author="studio", search="other", full=True, cardData=True)))
            some = next(iter(api.list_models(author="studio", search="other", expand=["cardData"])))
            cards = [each.card_data and each.card_data.tags for each in (short, full, some)]
            answer = [found, cards, [each.sha is None for each in (short, full, some)]]
        """
        found, cards, without_sha = run_client(code, running.environment("painter"), tmp_path)
        assert found == {
            "tag": [f"painter/pack-{number}" for number in (1, 4, 3, 2, 0)],
            "mine": ["studio/private"],
            "few": ["studio/private", "painter/pack-4", "painter/pack-3"],
            "words": ["studio/other"],
            "tree": [".gitattributes", "README.md", "samples", *(f"samples/{number}.txt" for number in range(4))],
            "folder": [f"samples/{number}.txt" for number in range(4)],
            "history": 3,
            "datasets": [],
        }
        assert cards == [None, ["something"], ["something"]]
        assert without_sha == [True, False, True]


def test_infos_tell_sizes_and_hashes_also_made_up_ones(running, tmp_path):
    commit = running.put("painter/pack", PACK, declared_sizes={"diffusion_pytorch_model.safetensors": 20 * 2**30})
    running.put("painter/pack", {"../outside.txt": "a name that the real Hub would refuse"}, branch="main")
    code = f"""
        info = api.model_info("painter/pack", files_metadata=True, revision="{commit.sha}")
        files = {{each.rfilename: [each.size, each.lfs and each.lfs.sha256] for each in info.siblings}}
        paths = api.get_paths_info("painter/pack", ["config.json", "samples", "nowhere"], expand=True)
        told = [[type(each).__name__, each.path, each.last_commit.title] for each in paths]
        head = hub.get_hf_file_metadata(hub.hf_hub_url("painter/pack", "diffusion_pytorch_model.safetensors"))
        names = api.list_repo_files("painter/pack")
        answer = [info.sha, files, told, [head.size, head.etag], info.pipeline_tag, "../outside.txt" in names]
    """
    sha, files, told, head, pipeline_tag, has_outside = run_client(code, running.environment(), tmp_path)
    weights = [20 * 2**30, running.repo("painter/pack").file("diffusion_pytorch_model.safetensors").sha256]
    assert sha == commit.sha
    assert files["diffusion_pytorch_model.safetensors"] == head == weights
    assert files["config.json"] == [len(PACK["config.json"]), None]
    assert told == [["RepoFile", "config.json", "Put by a test"], ["RepoFolder", "samples", "Put by a test"]]
    assert (pipeline_tag, has_outside) == ("image-to-image", True)


def test_cards_are_checked_pushed_and_found_by_what_they_say(running, tmp_path):
    code = """
        data = hub.ModelCardData(
            license="mit", tags=["style-pack"], datasets=["huggan/monet2photo"], model_name="Pack",
            eval_results=[hub.EvalResult("image-to-image", "photos", "Photos", "lpips", 0.5)],
        )
        api.create_repo("painter/pack")
        hub.ModelCard(f"---\\n{data.to_yaml()}\\n---\\nA pack").push_to_hub("painter/pack")
        loaded = hub.ModelCard.load("painter/pack")
        found = [each.id for each in api.list_models(filter="dataset:huggan/monet2photo")]
        wrong, broken = b"---\\nmodel-index: [{name: x}]\\n---\\n", b"---\\ntags: [a\\n---\\n"
        refused = [
            failure(hub.ModelCard("---\\ntags: [{a: b}]\\n---\\n").validate),
            failure(api.upload_file, path_or_fileobj=wrong, path_in_repo="README.md", repo_id="painter/pack"),
            failure(api.upload_file, path_or_fileobj=broken, path_in_repo="README.md", repo_id="painter/pack"),
        ]
        answer = [loaded.data.eval_results[0].metric_value, loaded.text, found, refused]
    """
    answer = run_client(code, running.environment("painter"), tmp_path)
    assert answer == [0.5, "A pack", ["painter/pack"], [["ValueError", None]] * 3]
    assert len(running.repo("painter/pack").history()) == 2


def test_spaces_are_made_with_their_sdk(running, tmp_path):
    code = """
        api.create_repo("studio/app", repo_type="space", space_sdk="gradio", private=True)
        api.upload_file(path_or_fileobj=b"print()", path_in_repo="app.py", repo_id="studio/app", repo_type="space")
        info = api.space_info("studio/app")
        api.update_repo_settings("studio/app", repo_type="space", private=False)
        answer = [info.sdk, info.private, read("studio/app", "app.py", repo_type="space", token=False)]
        api.delete_repo("studio/app", repo_type="space")
        answer += [api.repo_exists("studio/app", repo_type="space")]
    """
    assert run_client(code, running.environment("painter"), tmp_path) == ["gradio", True, "print()", False]


# ---------------------------------------------------------------------------------------------------------------------
# Datasets


def png(red):
    encoded = io.BytesIO()
    Image.new("RGB", (8, 8), (red, 0, 0)).save(encoded, "PNG")
    return encoded.getvalue()


def parquet_file(reds):
    images = pyarrow.array([{"bytes": png(red), "path": f"{red}.png"} for red in reds])
    features = {"info": {"features": {"imageA": {"_type": "Image"}, "label": {"_type": "Value", "dtype": "int64"}}}}
    table = pyarrow.table({"imageA": images, "label": reds}).replace_schema_metadata(
        {"huggingface": json.dumps(features)}
    )
    written = io.BytesIO()
    parquet.write_table(table, written)
    return written.getvalue()


def tar_file(reds):
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w") as archive:
        for red in reds:
            for name, content in ((f"{red}.png", png(red)), (f"{red}.json", b'{"title": "x"}')):
                entry = tarfile.TarInfo(name)
                entry.size = len(content)
                archive.addfile(entry, io.BytesIO(content))
    return written.getvalue()


def test_datasets_load_whole_and_streamed_in_each_layout(running, tmp_path):
    folder = {f"train/{label}/{red}.png": png(red) for label, reds in (("a", (1, 2)), ("b", (3,))) for red in reds}
    shards = {f"data/train-0000{part}-of-00002.parquet": parquet_file([2 * part + 1, 2 * part + 2]) for part in (0, 1)}
    running.put("painter/folder", folder, "dataset")
    running.put("painter/parquet", shards, "dataset", private=True)
    running.put("painter/tar", {f"train-{part}.tar": tar_file([part + 1, part + 3]) for part in (0, 1)}, "dataset")
    code = """
        import datasets
        datasets.config.SLEEP_TIME_ON_THREADS_SHUTDOWN = 0
        answer = []
        for name, column in (("folder", "image"), ("parquet", "imageA"), ("tar", "png")):
            for streaming in (False, True):
                rows = datasets.load_dataset(f"painter/{name}", split="train", streaming=streaming)
                answer.append([row[column].getpixel((0, 0))[0] for row in rows])
            answer.append(rows.num_shards)
    """
    # torch takes long to import and has no part in this
    environment = {**running.environment("painter"), "USE_TORCH": "0"}
    answer = run_client(code, environment, tmp_path)
    assert answer == [[1, 2, 3], [1, 2, 3], 1, [1, 2, 3, 4], [1, 2, 3, 4], 2, [1, 3, 2, 4], [1, 3, 2, 4], 2]
    assert any(served.status == 206 for served in running.served)  # streams ask for parts
