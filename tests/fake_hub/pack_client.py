"""Our functions in a process of their own, which takes a loopback Hub for the Hub, over any number of calls.

    with Client(hub.environment("painter")) as client:
        folder = client.call("hub.repos", "resolve_pack", "painter/pack")

The process reads lines of JSON, [module, function, arguments, options], and answers each with one line.
"""

import dataclasses
import importlib
import json
import logging
import subprocess
import sys
import threading
import traceback
import zlib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


class RefusalError(Exception):
    """The function raised an InputError; this is its sentence."""


def refused(call, *arguments, **options):
    """The sentence with which a call is refused; it must be."""
    try:
        call(*arguments, **options)
    except RefusalError as refusal:
        return str(refusal)
    raise AssertionError("it was not refused")


def own_name(request):
    """A repository that no other test uses."""
    return f"painter/{zlib.crc32(request.node.nodeid.encode()):08x}"


class Client:
    """The process; `log` is what it logged during the last call."""

    def __init__(self, environment):
        self._environment = environment
        self.log = []

    def __enter__(self):
        command = [sys.executable, __file__]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self._process = subprocess.Popen(command, env=self._environment, cwd=ROOT, **pipes)
        return self

    def __exit__(self, *error):
        self._process.stdin.close()
        self._process.wait(60)
        self._process.stdout.close()

    def call(self, module, function, *arguments, **options):
        """What the function returns, as JSON knows it. Raises RefusalError for an InputError."""
        told = json.dumps([module, function, arguments, options], default=str)
        hanging = threading.Timer(600, self._process.kill)
        hanging.start()
        self._process.stdin.write(told + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        hanging.cancel()
        assert line, "the client's process died or hung"
        answer = json.loads(line)
        self.log = answer["log"]
        assert "crash" not in answer, answer["crash"]
        if "refusal" in answer:
            sentence = answer["refusal"]
            assert sentence.endswith(".") and "\n" not in sentence, f"not one sentence: {sentence!r}"
            raise RefusalError(sentence)
        return answer["value"]


def main():
    sys.path.insert(0, str(ROOT))
    answers, sys.stdout = sys.stdout, sys.stderr  # what a library prints must not look like an answer
    lines = []
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(record.getMessage())
    logging.getLogger("styletransfer").addHandler(handler)
    for line in sys.stdin:
        lines.clear()
        answer = run(*json.loads(line))
        print(json.dumps({**answer, "log": lines}, default=str), file=answers, flush=True)


def run(module, function, arguments, options):
    from styletransfer.errors import InputError

    try:
        value = getattr(importlib.import_module(f"styletransfer.{module}"), function)(*arguments, **options)
    except InputError as error:
        return {"refusal": str(error)}
    except Exception:
        return {"crash": traceback.format_exc()}
    return {"value": [dataclasses.asdict(each) for each in value] if isinstance(value, list) else value}


if __name__ == "__main__":
    main()
