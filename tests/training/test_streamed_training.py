"""Training on datasets of the Hub: killed, cut off and taken up again it is one training; without a word, Monet's."""

import json
import shlex
import shutil

import pytest
from fake_hub.pictures import monet2photo
from fake_hub.server import hub
from training_kit import (
    HUB_PORT,
    TINY,
    Training,
    accelerate_launch,
    assert_same_run,
    checkpoint,
    checkpoints,
    loss_lines,
    progress,
    ranks,
    resumed_on_one,
    train,
    trained,
)

from styletransfer.packs.folder import load_pack

MONET = "huggan/monet2photo"
SHARDS = f"*{MONET}/resolve/*.parquet"

# Six steps of two pictures read a photo more than once, and stop inside a block of a pass.
STREAMED = {
    **TINY,
    "photos": [f"{MONET}:train:imageB"],
    "style": [f"monet={MONET}:imageA"],
    "streaming": True,
    "shuffle_buffer": 3,
    "steps": 6,
    "checkpoint_every": 2,
    "stream_patience": 60,
}
AT_STEP_4 = {"die_before": ("os.mkdir", ".partial-step-00000004", 1)}


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    folder = tmp_path_factory.mktemp("streamed")
    with hub(folder / "hub", port=HUB_PORT) as server:
        server.put(MONET, monet2photo(folder, photos=range(100, 107), shards=4), "dataset")
        yield server


@pytest.fixture
def healed(running):
    yield running
    running.heal()


def read_shards(server):
    return sum(served.method == "GET" and served.path.endswith(".parquet") for served in server.served)


@pytest.fixture(scope="module")
def whole(running, tmp_path_factory):
    """A streamed training that nothing befell, and how often it read from the Hub's files."""
    before = read_shards(running)
    output = trained(tmp_path_factory.mktemp("whole") / "run", STREAMED)
    return output, read_shards(running) - before


def positions(output, step, rank):
    return json.loads((checkpoint(output, step) / f"stream-{rank}.json").read_text(encoding="utf-8"))


def test_killed_run_goes_on_in_the_middle_of_its_streams(whole, tmp_path):
    output = tmp_path / "run"
    killed = train(output, STREAMED, **AT_STEP_4)
    assert killed.code == -9, killed.err
    assert [line["step"] for line in loss_lines(output)] == [1, 2, 3, 4]
    photos, paintings = positions(output, 2, rank=0)
    assert (photos["taken"], paintings["taken"]) != (0, 0)
    resumed_on_one(output, STREAMED)
    assert_same_run(whole[0], output, step=6)
    assert positions(output, 6, rank=0) == positions(whole[0], 6, rank=0)


@pytest.mark.slow
def test_passing_failures_of_the_hub_leave_no_trace(whole, healed, tmp_path):
    healed.fail(SHARDS, "error", method="GET", skip=10, times=2)
    healed.fail(SHARDS, "cut", method="GET", skip=14, times=2, after_bytes=100)
    healed.fail(SHARDS, "slow", method="GET", skip=18, times=1, seconds=1)
    faults = list(healed.faults.planned)
    output = trained(tmp_path / "run", STREAMED)
    assert [fault.hits for fault in faults] == [2, 2, 1]
    assert_same_run(whole[0], output, step=6)


def test_hub_that_stays_away_stops_the_run_with_the_command_that_continues_it(whole, healed, tmp_path):
    output = tmp_path / "run"
    away = healed.fail(SHARDS, "error", method="GET", skip=whole[1] * 3 // 4, times=None, status=403)
    finished = train(output, {**STREAMED, "stream_patience": 1})
    assert away.hits > 1, "it was not tried again"
    assert finished.code == 1
    [said] = [line for line in finished.err.splitlines() if line.startswith("error: ")]
    last = checkpoint(output, step_of_last(output))
    assert "keeps failing (" in said and f"{last} is whole" in said
    healed.heal()
    command = shlex.split(said.partition("continue from it with ")[2])
    assert command[:3] == ["accelerate", "launch", "train_accelerate.py"]
    again = Training(command[3:], output.parent / "logs").wait()
    assert again.code == 0, again.err
    assert_same_run(whole[0], output, step=6)


def step_of_last(output):
    step = int(checkpoints(output)[-1].removeprefix("step-"))
    assert progress(output, step)["step"] == step < 6
    return step


# ---------------------------------------------------------------- two processes

TWO = {**STREAMED, "batch_size": 1}


def all_trained(trainings):
    """What the processes of a training said, all of which must succeed."""
    finished = [training.wait() for training in trainings]
    assert [f.code for f in finished] == [0, 0], [f.err for f in finished]
    return [f.out for f in finished]


def test_two_processes_read_their_own_shares_and_go_on_exactly(running, tmp_path):
    through, output = tmp_path / "through" / "run", tmp_path / "killed" / "run"
    all_trained(ranks(through, TWO))
    assert progress(through, 6)["processes"] == 2
    assert positions(through, 6, rank=0) != positions(through, 6, rank=1)
    first, second = ranks(output, TWO, **AT_STEP_4)
    assert first.wait().code == -9
    second.kill()
    all_trained(ranks(output, {**TWO, "resume": True}))
    assert_same_run(through, output, step=6)


def test_checkpoint_of_one_process_goes_on_with_a_new_pass_on_two(whole, tmp_path):
    output = tmp_path / "run"
    shutil.copytree(checkpoint(whole[0], 4), checkpoint(output, 4))
    said, _ = all_trained(ranks(output, {**TWO, "resume": True}))
    assert "was written by 1 processes: the streams start again from their beginning" in said
    for rank in (0, 1):
        assert all(stream["turn"] >= 4 for stream in positions(output, 6, rank))


def test_checkpoint_of_other_sources_goes_on_with_a_new_pass(whole, tmp_path):
    output = tmp_path / "run"
    shutil.copytree(checkpoint(whole[0], 4), checkpoint(output, 4))
    finished = train(output, {**STREAMED, "photos": [f"{MONET}:test:imageB"], "resume": True})
    assert finished.code == 0, finished.err
    assert "was written with other photos: the streams start again from their beginning" in finished.out


# ---------------------------------------------------------------- Monet


@pytest.mark.slow
def test_without_a_source_the_launcher_trains_monet_and_says_so_first(running, tmp_path):
    output = tmp_path / "run"
    finished = accelerate_launch(output, {**TINY, "batch_size": 1, "steps": 2, "checkpoint_every": 2}).wait()
    assert finished.code == 0, finished.err
    assert finished.out.splitlines()[0] == f"No source is given: training Monet on {MONET}, into {output}."
    assert progress(output, 2)["processes"] == 2
    assert load_pack(output / "pack").styles == {"monet": "Claude Monet"}
    assert any(served.path.endswith(".parquet") for served in running.served)
