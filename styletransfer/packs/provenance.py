"""What a pack was made with: library versions, the git commit, the hardware and the training time."""

import os
import platform
import re
import subprocess
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from styletransfer.packs.contents import PROJECT
from styletransfer.paths import ROOT

if TYPE_CHECKING:
    import torch

PUBLIC_HOSTS = ("github.com", "gitlab.com", "codeberg.org", "bitbucket.org", "huggingface.co")
_REMOTE = re.compile(r"(https://|ssh://|)([^@/]+@)?(?P<host>[\w.-]+)[:/](?P<path>[\w./-]+?)(\.git)?/?", re.ASCII)
LIBRARIES = ("styletransfer", "torch", "diffusers", "accelerate")


def run_facts(
    device: "torch.device", *, processes: int = 1, seconds: float | None = None, datasets: Sequence[str] = ()
) -> dict[str, Any]:
    """The facts of a training run that its card shows, as `folder.save_pack` takes them.

    Args:
        device: the device of one process.
        processes: their number. Each has such a device; on CPUs they share the cores of this machine.
        seconds: training time, summed over all parts of a resumed run.
        datasets: the Hub datasets it trained on, `org/name`.
    """
    facts: dict[str, Any] = {"hardware": _hardware(device, processes)}
    url = project_url(_git(ROOT, "remote", "get-url", "origin") or "")
    if url:
        facts[PROJECT] = url
    if seconds is not None:
        facts["training time"] = duration(seconds)
    return {**facts, "datasets": list(dict.fromkeys(datasets))} if datasets else facts


def project_url(remote: str) -> str | None:
    """The web address of a git remote on a public host, without user and password; None for other hosts."""
    match = _REMOTE.fullmatch(remote)
    return f"https://{match['host']}/{match['path']}" if match and match["host"] in PUBLIC_HOSTS else None


def _hardware(device: "torch.device", processes: int) -> str:
    if device.type == "cuda":
        import torch

        return f"{processes} x {torch.cuda.get_device_name(device)}"
    if device.type != "cpu":
        return device.type
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    shared = f" shared by {processes} processes" if processes > 1 else ""
    return f"{cores} CPU core{'s' if cores > 1 else ''}{shared}"


def duration(seconds: float) -> str:
    """A time in at most two units: 45 s, 12 min, 3 h 20 min."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"


def versions() -> dict[str, str]:
    """Name -> version of Python and the libraries; in a git checkout also the commit."""
    found = {"python": platform.python_version()}
    for name in LIBRARIES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    commit = _git(ROOT, "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*")
    return {**found, "git commit": commit} if commit else found


def _git(root: Path, *words: str) -> str | None:
    """The output of git in a checkout; None where there is none."""
    if not (root / ".git").exists():  # git itself would search the parent folders, too
        return None
    command = ["git", "-C", str(root), *words]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip() or None
    except (OSError, subprocess.SubprocessError):
        return None
