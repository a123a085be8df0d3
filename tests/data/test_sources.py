"""Sources on the Hub: what their selectors choose, and the sentence for each way in which they cannot be read."""

from concurrent.futures import ThreadPoolExecutor

import datasets
import pytest
from fake_hub.pictures import ARTISTS, ask, cell, imagefolder, monet2photo, parquet, webdataset, wikiart
from fake_hub.server import hub

from styletransfer.data.sources import load_source, parse_hub_id
from styletransfer.errors import InputError

MONET, WIKI = "studio/monet2photo", "studio/wikiart"

# source -> gray levels of its pictures, whether downloaded or streamed
READ = {
    f"{MONET}:train:imageB": [*range(100, 108, 2), *range(101, 108, 2)],
    f"{MONET}:imageB": [*range(100, 108, 2), *range(101, 108, 2)],
    f"{MONET}:test:imageB": [200, 201],
    f"{WIKI}:train:image:artist=claude-monet": [30, 31, 32, 33],
    f"{WIKI}:artist=3:genre=landscape": [31, 33],
    WIKI: [10 * artist + n for n in range(4) for artist in range(1, 5)],
    "studio/loose:train": [60, 61, 62, 63],
    "studio/archives": [70, 72, 74, 71, 73, 75],
    "studio/written:author=Claude Monet": [80],
    "studio/versions@v1": [90],
    "studio/versions@feature/new": [91],
    "studio/versions": [92],
    "studio/private": [93],
    "studio/gated": [94],
    "studio/many:small": [95],
}

# The same, where only a download tells which rows are empty.
DOWNLOADED = {f"{MONET}:train:imageA": [10, 12, 14, 11, 13, 15]}

# source -> what its sentence must hold, whether downloaded or streamed; and what only a download can tell
REFUSED = {
    f"{MONET}:train": "several columns of pictures: choose from imageA, imageB",
    f"{MONET}:validation:imageB": "no split validation: choose from train, test",
    f"{MONET}:train:imageC": "no split and no column of pictures called imageC",
    f"{MONET}:imageC": "its splits are train, test, its columns of pictures imageA, imageB",
    f"{MONET}:train:imageB:artist=3": "has no label artist",
    f"{MONET}:train:imageB:more": "has no part for :more",
    f"{WIKI}:artist=monet": f"no artist called monet: choose from {ARTISTS[3]}",
    f"{WIKI}:artist=5": "no artist called 5",
    f"{WIKI}:train:artist": "no column of pictures called artist",
    f"{WIKI}:painter=monet": "no label painter: its columns are artist, genre, style",
    "studio/text": "no column of pictures: its columns are text",
    "studio/odd": "several splits: choose from one, two",
    "studio/many": "several configurations: choose studio/many:NAME from large, small",
    "studio/versions@v9": "no revision v9",
    "studio/missing": "neither a folder nor a picture file here, nor a dataset on the Hub that you may see",
}
REFUSED_DOWNLOAD = {
    "studio/written:author=Monet": "no row with author=Monet; its author: choose from Claude Monet, Hokusai"
}


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sources")
    picture = {"image": datasets.Image()}

    def one(level):
        return {"train.parquet": parquet(folder, picture, {"image": [cell(level)]})}

    with hub(folder / "hub") as server:

        def put(name, files, **options):
            server.put(f"studio/{name}", files, "dataset", **options)

        put("monet2photo", monet2photo(folder))
        put("wikiart", wikiart(folder))
        put("loose", imagefolder())
        put("archives", webdataset())
        written = {"image": [cell(80), cell(81)], "author": ["Claude Monet", "Hokusai"]}
        put("written", {"train.parquet": parquet(folder, picture | {"author": datasets.Value("string")}, written)})
        put("private", one(93), private=True)
        put("gated", one(94), gated="auto")
        put("text", {"train.csv": "text\nhello\n"})
        put(
            "odd",
            {"README.md": configs("default", one="one.csv", two="two.csv"), "one.csv": "a\n1\n", "two.csv": "a\n1\n"},
        )
        many = configs("large", train="large.parquet") + configs("small", train="small.parquet")
        put(
            "many",
            {
                "README.md": many.replace("---\n---\nconfigs:\n", ""),
                "large.parquet": one(96)["train.parquet"],
                "small.parquet": one(95)["train.parquet"],
            },
        )
        put("failing", one(97))
        server.fail("*studio/failing*", "error", times=None)
        put("versions", one(90))
        versions = server.repo("studio/versions", "dataset")
        first = versions.head
        versions.tags["v1"] = first
        put("versions", one(91))
        versions.branches["feature/new"] = versions.head
        put("versions", one(92))
        yield server


def configs(name, **splits):
    files = "".join(f"  - split: {split}\n    path: {path}\n" for split, path in splits.items())
    return f"---\nconfigs:\n- config_name: {name}\n  data_files:\n{files}---\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A working folder that holds a folder named like a dataset."""
    folder = tmp_path_factory.mktemp("work")
    (folder / "here" / "folder").mkdir(parents=True)
    (folder / "studio" / "gated").mkdir(parents=True)
    (folder / "studio" / "gated" / "a.png").write_bytes(cell(5)["bytes"])
    return folder


def answers(running, jobs, user="painter", home=None, **environment):
    home = running.folder / home if home else None
    return ask(running.environment(user, home=home) | environment, *jobs)


@pytest.fixture(scope="module", autouse=True)
def unreachable(running):
    """To come: the answers of a Hub that only fails and of none at all, as on a machine without a network.

    Libraries try again for half a minute, so these begin first.
    """
    with ThreadPoolExecutor() as pool:
        nobody = {"home": "cut-off", "HF_ENDPOINT": "http://127.0.0.1:9"}
        yield {
            "studio/failing": pool.submit(answers, running, [{"source": "studio/failing"}], home="failing"),
            "studio/never": pool.submit(answers, running, [{"source": "studio/never", "streaming": True}], **nobody),
        }


@pytest.fixture(scope="module")
def read(running):
    """(source, streaming) -> answer, of a user with a token; one process for all, since its start takes longest."""
    jobs = [(source, False) for source in [*READ, *REFUSED, *DOWNLOADED, *REFUSED_DOWNLOAD]]
    jobs += [(source, True) for source in [*READ, *REFUSED]]
    found = answers(running, [{"source": source, "streaming": streaming} for source, streaming in jobs])
    return dict(zip(jobs, found, strict=True))


@pytest.fixture(scope="module")
def downloaded(read):
    return {source: answer for (source, streaming), answer in read.items() if not streaming}


@pytest.fixture(scope="module")
def streamed(read):
    return {source: answer for (source, streaming), answer in read.items() if streaming}


def test_selectors_choose_split_column_label_and_revision(downloaded):
    expected = {source: {"columns": ["image"], "levels": levels} for source, levels in READ.items()}
    assert {source: downloaded[source] for source in READ} == expected


def test_a_streamed_source_holds_the_same_pictures(streamed):
    expected = {source: {"columns": ["image"], "levels": levels} for source, levels in READ.items()}
    assert {source: streamed[source] for source in READ} == expected


@pytest.mark.parametrize("source", [*REFUSED, *REFUSED_DOWNLOAD])
def test_what_cannot_be_read_is_one_sentence_that_says_what_there_is(downloaded, source):
    assert_one_sentence(downloaded[source], (REFUSED | REFUSED_DOWNLOAD)[source])


@pytest.mark.parametrize("source", REFUSED)
def test_a_streamed_source_is_refused_in_the_same_words(streamed, source):
    assert_one_sentence(streamed[source], REFUSED[source])


def assert_one_sentence(answer, part):
    assert part in answer["error"]
    assert "\n" not in answer["error"]
    assert len(answer["error"]) < 400


def test_rows_without_a_picture_are_left_out(downloaded):
    assert {source: downloaded[source]["levels"] for source in DOWNLOADED} == DOWNLOADED


@pytest.mark.slow
def test_a_stranger_is_told_of_tokens_and_conditions(running):
    private, gated, again = answers(
        running,
        [{"source": "studio/private"}, {"source": "studio/gated"}, {"source": "studio/gated", "streaming": True}],
        user=None,
    )
    assert_one_sentence(private, "HF_TOKEN if it is private")
    for answer in (gated, again):
        assert_one_sentence(
            answer, f"studio/gated is gated: accept its conditions at {running.endpoint}/datasets/studio/gated"
        )


@pytest.mark.parametrize("source", ["studio/failing", "studio/never"])
def test_a_hub_that_does_not_answer_is_a_sentence(unreachable, source):
    [answer] = unreachable[source].result()
    assert_one_sentence(answer, f"{source} is neither a folder nor a picture file here")
    assert "the Hub does not answer" in answer["error"]


def test_offline_what_was_downloaded_is_there_and_the_rest_is_a_sentence(running, downloaded):
    sources = [f"{WIKI}:artist=3", "studio/versions@v9", "studio/versions@v1", "studio/other"]
    kept, never, pinned, other = answers(running, [{"source": source} for source in sources], HF_HUB_OFFLINE="1")
    assert kept["levels"] == [30, 31, 32, 33]
    for answer in (never, pinned):  # the last one downloaded is the one kept
        assert "versions" in answer["error"]
    assert_one_sentence(other, "HF_HUB_OFFLINE")


def test_a_folder_named_like_a_dataset_goes_before_it(folder, monkeypatch):
    monkeypatch.chdir(folder)
    assert len(load_source("studio/gated")) == 1
    with pytest.raises(
        InputError, match='"here/folder" is a folder here, which is used before the Hub is: leave out ":train"'
    ):
        load_source("here/folder:train")


@pytest.mark.parametrize(
    ("source", "parts"),
    [
        ("a/b", ("a/b", None, [], {})),
        (
            "a/b@refs/pr/1:train:image:artist=x=y:genre=2",
            ("a/b", "refs/pr/1", ["train", "image"], {"artist": "x=y", "genre": "2"}),
        ),
        ("a/b:style=New Realism", ("a/b", None, [], {"style": "New Realism"})),
        ("a", None),
        ("a/b/c", None),
        ("../b:", None),
        ("a/b::x", None),
        ("C:\\pictures", None),
    ],
)
def test_the_parts_of_an_id(source, parts):
    assert parse_hub_id(source) == parts
