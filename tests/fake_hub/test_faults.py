"""The loopback Hub refuses and breaks as told, and the real clients meet with what they would meet at the real one."""

import hashlib
import os
import time

import httpx
import numpy as np
import pytest

from fake_hub.server import User, hub
from fake_hub.snippets import run_client

WEIGHTS = np.random.default_rng(0).bytes(300_000)
CARD_FILE, WEIGHTS_FILE = "/painter/pack/resolve/main/README.md", "/painter/pack/resolve/main/weights.bin"
INFO, COMMIT = "/api/models/painter/pack", "/api/models/painter/pack/commit/main"
EMPTY_COMMIT = '{"key": "header", "value": {"summary": "Nothing"}}'


@pytest.fixture
def running(tmp_path):
    with hub(tmp_path / "hub") as running:
        yield running


@pytest.fixture
def web(running):
    with httpx.Client(base_url=running.endpoint, trust_env=False) as web:
        yield web


def bearer(running, user, role="write"):
    return {} if user is None else {"Authorization": f"Bearer {running.token(user, role)}"}


def status_and_code(answer):
    return answer.status_code, answer.headers.get("x-error-code")


# ---------------------------------------------------------------------------------------------------------------------
# Who may


ANONYMOUS, STRANGER, READER, OWNER = (None, "write"), ("visitor", "write"), ("painter", "read"), ("painter", "write")
HIDDEN_401, HIDDEN_404 = (401, "RepoNotFound"), (404, "RepoNotFound")


@pytest.mark.parametrize(
    ("access", "address", "expected"),
    [
        ("public", CARD_FILE, {ANONYMOUS: (200, None), STRANGER: (200, None), OWNER: (200, None)}),
        ("private", CARD_FILE, {ANONYMOUS: HIDDEN_401, STRANGER: HIDDEN_404, READER: (200, None), OWNER: (200, None)}),
        ("private", INFO, {ANONYMOUS: HIDDEN_401, STRANGER: HIDDEN_404, READER: (200, None), OWNER: (200, None)}),
        ("gated", CARD_FILE, {ANONYMOUS: (401, "GatedRepo"), STRANGER: (403, "GatedRepo"), READER: (200, None)}),
        ("gated", INFO, {ANONYMOUS: (200, None), STRANGER: (200, None), OWNER: (200, None)}),
        ("public", COMMIT, {ANONYMOUS: (401, None), STRANGER: (403, None), READER: (403, None), OWNER: (200, None)}),
        ("private", COMMIT, {ANONYMOUS: HIDDEN_401, STRANGER: HIDDEN_404, READER: (403, None), OWNER: (200, None)}),
        ("none", CARD_FILE, {ANONYMOUS: HIDDEN_401, STRANGER: HIDDEN_404, OWNER: HIDDEN_404}),
    ],
)
def test_each_visitor_gets_the_hubs_status_and_error_code(running, web, access, address, expected):
    if access != "none":
        private, gated = access == "private", "manual" if access == "gated" else False
        running.put("painter/pack", {"README.md": "# A pack"}, private=private, gated=gated)
    told = {}
    for visitor in expected:
        if address == COMMIT:
            answer = web.post(address, headers=bearer(running, *visitor), content=EMPTY_COMMIT)
        else:
            answer = web.get(address, headers=bearer(running, *visitor))
        told[visitor] = status_and_code(answer)
    assert told == expected


def test_whoever_is_let_through_the_gate_gets_the_files(running, web):
    running.put("painter/pack", {"README.md": "# A pack"}, gated="auto")
    running.repo("painter/pack").readers.add("visitor")
    assert web.get(CARD_FILE, headers=bearer(running, "visitor", "read")).text == "# A pack"


def test_an_unknown_token_is_refused_even_where_none_is_needed(running, web):
    running.put("painter/pack", {"README.md": "# A pack"})
    answer = web.get(CARD_FILE, headers={"Authorization": "Bearer hf_nobody"})
    assert answer.status_code == 401
    assert answer.headers["x-error-message"] == "Invalid credentials in Authorization header"


def test_clients_tell_the_refusals_apart(running, tmp_path):
    running.put("painter/private", {"a.txt": "a"}, private=True)
    running.put("painter/gated", {"a.txt": "a"}, gated="auto")
    code = f"""
        api = hub.HfApi(token=False)
        reader, stranger = "{running.token("painter", "read")}", "{running.token("visitor")}"
        answer = [
            failure(hub.hf_hub_download, "painter/private", "a.txt", token=False),
            failure(hub.hf_hub_download, "painter/private", "a.txt", token=stranger),
            failure(hub.snapshot_download, "painter/gated", token=False),
            failure(hub.hf_hub_download, "painter/gated", "a.txt", token=stranger),
            failure(api.upload_file, path_or_fileobj=b"", path_in_repo="a", repo_id="painter/gated", token=reader),
            failure(api.create_repo, "studio/new", token=reader),
            failure(api.create_repo, "painter/gated", exist_ok=True, token=reader),
            read("painter/private", "a.txt", token=reader),
        ]
    """
    assert run_client(code, running.environment(), tmp_path) == [
        ["RepositoryNotFoundError", 401],
        ["RepositoryNotFoundError", 404],
        ["GatedRepoError", 401],
        ["GatedRepoError", 403],
        ["HfHubHTTPError", 403],
        ["HfHubHTTPError", 403],
        None,
        "a",
    ]


def test_users_are_those_it_is_told(tmp_path):
    with hub(tmp_path / "hub", users=[User("ada", ("office",))]) as running:
        with httpx.Client(base_url=running.endpoint, headers=bearer(running, "ada"), trust_env=False) as web:
            assert web.get("/api/whoami-v2").json()["name"] == "ada"
            assert web.post("/api/repos/create", json={"name": "x", "organization": "office"}).status_code == 200
            assert web.post("/api/repos/create", json={"name": "x", "organization": "painter"}).status_code == 403


# ---------------------------------------------------------------------------------------------------------------------
# How files are served


def test_files_come_in_parts_and_only_if_changed(running, web):
    commit = running.put("painter/pack", {"weights.bin": WEIGHTS})
    file = running.repo("painter/pack").file("weights.bin")
    head = web.head(WEIGHTS_FILE)
    assert head.headers["x-repo-commit"] == commit.sha
    assert head.headers["etag"] == head.headers["x-linked-etag"] == f'"{file.sha256}"'
    assert head.headers["x-linked-size"] == head.headers["content-length"] == "300000"
    part = web.get(WEIGHTS_FILE, headers={"Range": "bytes=299990-"})
    assert (part.status_code, part.headers["content-range"]) == (206, "bytes 299990-299999/300000")
    assert part.content == WEIGHTS[-10:]
    assert web.get(WEIGHTS_FILE, headers={"Range": "bytes=300000-"}).status_code == 416
    assert web.get(WEIGHTS_FILE, headers={"If-None-Match": head.headers["etag"]}).status_code == 304
    missing = web.head("/painter/pack/resolve/main/nothing")
    assert (*status_and_code(missing), missing.headers["x-repo-commit"]) == (404, "EntryNotFound", commit.sha)


def test_a_commit_of_what_was_never_sent_or_leads_outside_is_refused(running, web):
    running.put("painter/pack", {"README.md": "# A pack"})
    lines = [
        '{"key": "lfsFile", "value": {"path": "weights.bin", "algo": "sha256", "oid": "' + "0" * 64 + '", "size": 1}}',
        '{"key": "file", "value": {"path": "../outside.txt", "content": "", "encoding": "base64"}}',
    ]
    for line in lines:
        answer = web.post(COMMIT, headers=bearer(running, "painter"), content=f"{EMPTY_COMMIT}\n{line}")
        assert answer.status_code == 400
    assert running.repo("painter/pack").paths() == ["README.md"]


# ---------------------------------------------------------------------------------------------------------------------
# What breaks


@pytest.mark.parametrize(
    ("kind", "options", "status", "header"),
    [
        ("error", {}, 500, ("x-error-message", "Internal Error - We're working hard to fix this as soon as possible!")),
        ("error", {"status": 503, "message": "Busy"}, 503, ("x-error-message", "Busy")),
        ("rate-limit", {"retry_after": 7}, 429, ("retry-after", "7")),
        ("missing", {}, 404, ("x-error-code", "EntryNotFound")),
        ("quota", {}, 403, ("x-error-message", "Private repository storage limit reached, please upgrade your plan")),
    ],
)
def test_refusals_happen_as_often_as_told_and_then_all_is_well(running, web, kind, options, status, header):
    running.put("painter/pack", {"README.md": "# A pack"})
    fault = running.fail("*/README.md", kind, times=2, skip=1, method="GET", **options)
    answers = [web.get(CARD_FILE) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200, status, status, 200]
    assert answers[1].headers[header[0]] == header[1]
    assert (fault.hits, web.head(CARD_FILE).status_code) == (2, 200)


def test_what_has_not_yet_broken_heals(running, web):
    running.put("painter/pack", {"README.md": "# A pack"})
    running.fail("*", "error", times=None)
    assert [web.get(CARD_FILE).status_code for _ in range(3)] == [500] * 3
    running.heal()
    assert web.get(CARD_FILE).status_code == 200


@pytest.mark.parametrize(("reset", "error"), [(False, httpx.RemoteProtocolError), (True, httpx.ReadError)])
def test_a_download_is_cut_where_told(running, web, reset, error):
    running.put("painter/pack", {"weights.bin": WEIGHTS})
    running.fail("*/weights.bin", "cut", after_bytes=100_000, reset=reset)
    received = b""
    with pytest.raises(error), web.stream("GET", WEIGHTS_FILE) as answer:
        for chunk in answer.iter_raw():
            received += chunk
    assert WEIGHTS.startswith(received) and len(received) <= 100_000
    assert reset or len(received) == 100_000
    assert web.get(WEIGHTS_FILE).content == WEIGHTS


def test_a_cut_upload_leaves_nothing_and_goes_through_the_next_time(running, web):
    content = WEIGHTS * 40
    sha256 = hashlib.sha256(content).hexdigest()
    running.fail("/lfs/*", "cut", after_bytes=1_000_000)
    with pytest.raises(httpx.TransportError):
        web.put(f"/lfs/{sha256}", content=content)
    assert os.listdir(running.folder / "contents") == []
    assert web.put(f"/lfs/{sha256}", content=content).status_code == 200
    assert os.listdir(running.folder / "contents") == [sha256]
    assert [served.status for served in running.served] == [0, 200]


def test_a_byte_changes_on_the_way_down_or_up(running, web):
    running.put("painter/pack", {"weights.bin": WEIGHTS})
    running.fail("*/weights.bin", "corrupt")
    received = web.get(WEIGHTS_FILE).content
    assert len(received) == len(WEIGHTS)
    assert sum(ours != theirs for ours, theirs in zip(received, WEIGHTS, strict=True)) >= 1
    assert web.get(WEIGHTS_FILE).content == WEIGHTS

    content = b"something new"
    address = f"/lfs/{hashlib.sha256(content).hexdigest()}"
    running.fail("/lfs/*", "corrupt")
    assert [web.put(address, content=content).status_code for _ in range(2)] == [400, 200]


def test_a_lost_answer_leaves_the_deed_done(running, web):
    running.put("painter/pack", {"README.md": "# A pack"})
    running.fail("*/commit/*", "lose-answer")
    with pytest.raises(httpx.TransportError):
        web.post(COMMIT, headers=bearer(running, "painter"), content=EMPTY_COMMIT)
    assert running.repo("painter/pack").head.title == "Nothing"


def test_a_connection_cut_at_once_does_nothing(running, web):
    running.put("painter/pack", {"README.md": "# A pack"})
    running.fail("*/commit/*", "cut")
    with pytest.raises(httpx.TransportError):
        web.post(COMMIT, headers=bearer(running, "painter"), content=EMPTY_COMMIT)
    assert running.repo("painter/pack").head.title != "Nothing"


def test_a_slow_answer_outlasts_the_impatient(running, web):
    running.put("painter/pack", {"README.md": "# A pack"})
    running.fail("*/README.md", "slow", times=2, seconds=0.5)
    with pytest.raises(httpx.ReadTimeout):
        web.get(CARD_FILE, timeout=0.1)
    start = time.monotonic()
    assert web.get(CARD_FILE, timeout=60).status_code == 200
    assert time.monotonic() - start >= 0.5


def test_it_goes_down_and_comes_back_at_the_same_address_with_all_it_had(running, web):
    running.put("painter/pack", {"README.md": "# A pack"})
    running.fail("*/nothing", "slow", seconds=600)
    with pytest.raises(httpx.ReadTimeout):
        web.get("/painter/pack/resolve/main/nothing", timeout=0.1)  # a request under way does not hold it up
    with running.down(), pytest.raises(httpx.ConnectError):
        web.get(CARD_FILE)
    assert web.get(CARD_FILE).text == "# A pack"


def test_the_client_gets_a_pack_up_and_down_through_what_breaks(running, tmp_path):
    weights = WEIGHTS * 40  # clients write ten megabytes at a time, and go on after what they have written
    (tmp_path / "weights.bin").write_bytes(weights)
    up = [
        running.fail("*/preupload/*", "error", status=503),
        running.fail("*/objects/batch", "rate-limit", retry_after=0),
        running.fail("/lfs/*", "cut", method="PUT", after_bytes=100_000),
    ]
    down = running.fail("*/resolve/*/weights.bin", "cut", method="GET", after_bytes=11_000_000)
    code = """
        api.create_repo("painter/pack")
        api.upload_file(path_or_fileobj="weights.bin", path_in_repo="weights.bin", repo_id="painter/pack")
        hub.hf_hub_download("painter/pack", "weights.bin", local_dir="copy")
        answer = None
    """
    run_client(code, running.environment("painter"), tmp_path)
    assert [fault.hits for fault in (*up, down)] == [1, 1, 1, 1]
    assert running.repo("painter/pack").read("weights.bin") == weights
    assert (tmp_path / "copy" / "weights.bin").read_bytes() == weights
    gets = [served for served in running.served if served.method == "GET" and served.path.endswith("/weights.bin")]
    assert [served.headers.get("range") for served in gets] == [None, f"bytes={10 * 2**20}-"]
