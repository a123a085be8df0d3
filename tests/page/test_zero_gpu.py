"""The page where the package `spaces` lends a GPU, and the same page without it."""

import inspect
import os
import re
import textwrap

import pytest
from gradio_client import Client, handle_file
from page_kit import assert_alike, pixels, start_app

from styletransfer.page.events import Events
from styletransfer.page.server import PAINTING
from styletransfer.page.tabs.around import LENT, AroundEvents
from styletransfer.pipeline import StyleTransferPipeline

# What the real one (0.51) asks of a function: arguments and results as pickles, a generator's last word lost, and no
# error but gr.Error; a request is not at hand. It refuses to be imported while gradio is only half there.
FAKE = """
    import contextvars, functools, gc, inspect, os, pickle, sys, threading
    gradio = sys.modules.get("gradio")
    if gradio is not None and not hasattr(gradio, "Blocks"):
        raise ImportError

    def record(text):
        with open(os.environ["RECORD"], "a") as file:
            print(text, file=file)

    loaded = sum(type(thing).__name__ in ("Painter", "StyleTransferPipeline") for thing in gc.get_objects())
    record(f"imported with {loaded} pipelines")

    def passed(value):
        return pickle.loads(pickle.dumps(value))

    def elsewhere(call):  # in a thread that knows nothing of the request, as the real worker's
        results = []
        def run():
            try:
                results.append((True, passed(call())))
            except StopIteration:
                results.append((False, None))
            except Exception as error:
                results.append((None, error if type(error).__name__ == "Error" else RuntimeError("worker error")))
        thread = threading.Thread(target=run)
        thread.start()
        thread.join()
        going, result = results[0]
        if going is None:
            raise result
        return going, result

    def GPU(task):
        record(f"decorated {task.__name__}")
        if not inspect.isgeneratorfunction(task):
            @functools.wraps(task)
            def once(*arguments):
                record(f"ran {task.__name__}")
                return elsewhere(lambda: passed(task(*passed(arguments))))[1]

            return once

        @functools.wraps(task)
        def steps(*arguments):
            record(f"ran {task.__name__}")
            results = task(*passed(arguments))
            while True:
                going, result = elsewhere(lambda: next(results))
                if not going:
                    return
                yield result

        return steps
"""


@pytest.fixture(scope="module")
def record(tmp_path_factory):
    return tmp_path_factory.mktemp("record") / "record.txt"


@pytest.fixture(scope="module", params=["with spaces", "without"])
def app(request, pack, record, tmp_path_factory):
    """Where the app answers, and whether it has the package."""
    if request.param == "without":
        yield request.getfixturevalue("address"), False
        return
    library = tmp_path_factory.mktemp("library")
    (library / "spaces.py").write_text(textwrap.dedent(FAKE))
    environment = {**os.environ, "STYLETRANSFER_PACK": str(pack), "RECORD": str(record), "PYTHONPATH": str(library)}
    for address in start_app(tmp_path_factory.mktemp("app"), environment):
        yield address, True


def test_every_event_that_runs_a_network_has_the_gpu():
    below = r"studio\.(show|paint|paint_all|explain)|_previews?|_example|_paint|follow"
    runs = re.compile(rf"self\.({below})\b")
    events = {name: inspect.getsource(event) for name, event in vars(Events).items() if inspect.isfunction(event)}
    assert {name for name, text in events.items() if not name.startswith("_") and runs.search(text)} == set(PAINTING)
    around = {name: inspect.getsource(event) for name, event in vars(AroundEvents).items() if inspect.isfunction(event)}
    assert {name for name, text in around.items() if re.search(r"studio\.paint", text)} == set(LENT)


def test_the_page_paints_the_same_with_and_without_the_package(app, pack, record, photo, tmp_path):
    address, lends = app
    record.unlink(missing_ok=True) if not lends else None
    photo.save(tmp_path / "photo.png")
    client = Client(address, verbose=False, analytics_enabled=False)
    given = {"photo": handle_file(tmp_path / "photo.png"), "style": "blue"}
    painting, about = client.predict(**given, strength=0.5, api_name="/paint")
    assert about == "Blue, 96 × 80 pixels."
    expected = StyleTransferPipeline.from_pretrained(pack, device="cpu")(photo, "blue", strength=0.5)
    assert_alike(pixels(painting), pixels(expected))
    assert client.predict(**given, api_name="/preview")[1] == "Blue, 96 × 80 pixels."
    photos = [handle_file(tmp_path / "photo.png")]
    assert "1 / 1" in client.predict(photos=photos, style="red", api_name="/paint_all")[1]
    with pytest.raises(Exception, match="There is no style 'green'"):
        client.predict(photo=given["photo"], style="green", api_name="/paint")
    chinese = Client(address, verbose=False, analytics_enabled=False, headers={"Accept-Language": "zh-CN"})
    assert chinese.predict(**given, api_name="/paint")[1] == "Blue，96 × 80 像素。"

    if not lends:
        assert not record.exists()
        return
    lines = record.read_text().splitlines()
    assert lines[0] == "imported with 0 pipelines" and lines.count(lines[0]) == 1
    assert [line.split()[1] for line in lines if line.startswith("decorated")] == [*PAINTING, *LENT]
    ran = [line.split()[1] for line in lines if line.startswith("ran")]
    assert re.sub("follow ", "", " ".join(ran)) == "paint preview paint_all paint paint"
