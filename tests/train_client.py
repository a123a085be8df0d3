"""Trains in a process of its own, since HF_ENDPOINT counts when huggingface_hub is imported.

    python train_client.py '[["--steps", "2", ...], ...]'

prints, for each command line, the exit code and what was said.
"""

import io
import json
import sys
from contextlib import redirect_stderr, redirect_stdout

from styletransfer.training import main


def answer(argv):
    with redirect_stdout(io.StringIO()) as said, redirect_stderr(io.StringIO()) as complained:
        code = main(argv)
    return {"code": code, "out": said.getvalue(), "err": complained.getvalue()}


if __name__ == "__main__":
    print(json.dumps([answer(argv) for argv in json.loads(sys.argv[1])]))
