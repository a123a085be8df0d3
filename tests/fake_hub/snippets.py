"""The real huggingface_hub in a process of its own, since it reads the environment when it is imported."""

import json
import subprocess
import sys
import textwrap

PATIENCE = 240  # seconds until a client that takes a few is taken for hanging

# What the code may use: the module as `hub`, an HfApi, the three operations of a commit, and two shorthands.
BEFORE = """
    import json, huggingface_hub as hub
    from huggingface_hub import CommitOperationAdd as Add, CommitOperationCopy as Copy, CommitOperationDelete as Delete
    api = hub.HfApi()
    def failure(call, *arguments, **options):
        try:
            call(*arguments, **options)
        except Exception as error:
            return [type(error).__name__, getattr(getattr(error, "response", None), "status_code", None)]
    def read(*arguments, **options):
        with open(hub.hf_hub_download(*arguments, **options)) as file:
            return file.read()
"""


def run_client(code, environment, folder):
    """What the variable `answer` is, which must be JSON, when the code has run in the folder with the environment."""
    program = "\n".join([textwrap.dedent(BEFORE), textwrap.dedent(code), "print(json.dumps(answer))"])
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])
