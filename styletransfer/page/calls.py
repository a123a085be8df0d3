"""The same painting from a program: the call for the current settings in Python, for curl and for a shell."""

import json
import shlex
from collections.abc import Mapping

from styletransfer.page.session import SCREEN_SIDE


def python_call(address: str, settings: Mapping[str, object]) -> str:
    """With gradio_client, against this page."""
    lines = [f"    {name}={value!r}," for name, value in settings.items()]
    return "\n".join(
        [
            "from gradio_client import Client, handle_file",
            "",
            f"client = Client({address!r})",
            "painting, about = client.predict(",
            '    photo=handle_file("photo.jpg"),',
            *lines,
            '    api_name="/paint",',
            ")",
        ]
    )


def curl_call(address: str, settings: Mapping[str, object]) -> str:
    """Three requests: the photo up, the settings, the answer."""
    address = address.rstrip("/")
    values = json.dumps(list(settings.values()))[1:-1]
    data = '{"data": [{"path": "\'"$photo"\'", "meta": {"_type": "gradio.FileData"}}, ' + values.replace("'", "'\\''")
    return "\n".join(
        [
            f"photo=$(curl -s {address}/gradio_api/upload -F files=@photo.jpg | cut -d'\"' -f2)",
            f"event=$(curl -s {address}/gradio_api/call/paint -H 'Content-Type: application/json' \\",
            f"  -d '{data}]}}' | cut -d'\"' -f4)",
            f"curl -sN {address}/gradio_api/call/paint/$event",
        ]
    )


def shell_call(
    mix: Mapping[str, float], pack: str, strength: float = 1.0, brush_size: float = 1.0, keep_colors: bool = False
) -> str:
    """With the command line of this project.

    Args:
        mix: style name -> weight, in the pack.
        pack: a folder or a name on the Hub; empty for the one that the command takes by itself.
        strength: as in the pipeline, and so the others; the brush is the page's, relative to the picture.
    """
    style = next(iter(mix)) if len(mix) == 1 else ",".join(f"{name}={weight:g}" for name, weight in mix.items())
    parts = ["python", "-m", "styletransfer", "photo.jpg", "--style", style]
    parts += ["--pack", pack] if pack else []
    parts += ["--strength", f"{strength:g}"] if strength != 1 else []
    parts += ["--brush-size", f"{brush_size:g}"] if brush_size != 1 else []
    parts += ["--keep-colors"] if keep_colors else []
    note = f"# a photo larger than {SCREEN_SIDE} pixels looks as on this page with --brush-size {brush_size:g} * its "
    return shlex.join([*parts, "-o", "painting.png"]) + f"\n{note}longer side / {SCREEN_SIDE}"
