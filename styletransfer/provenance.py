"""What a pack was made with: versions of libraries, and the commit of this source."""

import platform
import subprocess
from importlib import metadata
from pathlib import Path

LIBRARIES = ("styletransfer", "torch", "diffusers", "accelerate")


def versions() -> dict[str, str]:
    """Name -> version of what makes a pack, with the commit of this source where it is a git checkout."""
    found = {"python": platform.python_version()}
    for name in LIBRARIES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    commit = _git_commit(Path(__file__).resolve().parent.parent)
    return {**found, "git commit": commit} if commit else found


def _git_commit(root: Path) -> str | None:
    if not (root / ".git").exists():  # else git would find the repository that an environment happens to lie in
        return None
    command = ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip() or None
    except (OSError, subprocess.SubprocessError):
        return None
