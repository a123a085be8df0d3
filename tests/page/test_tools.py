"""The page as a server of tools for language models (MCP), asked by a real client."""

import asyncio
import base64
import io
import os
import re
import urllib.error
import urllib.request

import pytest
from mcp import ClientSession
from mcp.client.streamable_http import streamable_http_client
from page_kit import assert_alike, pixels, start_app
from PIL import Image
from small_generators import random_generator

from styletransfer.page.api import PARAMETERS
from styletransfer.pipeline import StyleTransferPipeline

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def pack(tmp_path_factory):
    folder = tmp_path_factory.mktemp("packs") / "pack"
    random_generator({"red": "Red", "oak": "Oak"}, channels=8, blocks=1).save_pretrained(folder)
    return folder


def app(pack, folder, **environment):
    folder.mkdir()
    return start_app(folder, os.environ | {"STYLETRANSFER_PACK": str(pack)} | environment)


async def with_session(address, ask):
    """What `ask` answers, asked in a session of the Model Context Protocol."""
    async with (
        streamable_http_client(f"{address}gradio_api/mcp/") as (reading, writing, _),
        ClientSession(reading, writing) as session,
    ):
        await session.initialize()
        return await ask(session)


def test_the_listing_names_and_describes_every_tool_and_one_of_them_paints(pack, tmp_path, photo):
    photo.save(tmp_path / "photo.png")
    data = "data:image/png;base64," + base64.b64encode((tmp_path / "photo.png").read_bytes()).decode()

    async def ask(session):
        listed = await session.list_tools()
        styles = await session.call_tool("styles", {})
        return listed.tools, styles, await session.call_tool("paint", {"photo": data, "style": "oak", "strength": 0.5})

    for address in app(pack, tmp_path / "app", STYLETRANSFER_MCP="1"):
        tools, styles, painted = asyncio.run(with_session(address, ask))
        found = re.search(rf"{address}[^\s'\"]+\.png", str(painted.content))
        assert found, painted
        painting = Image.open(io.BytesIO(urllib.request.urlopen(found[0], timeout=30).read()))
    assert {tool.name for tool in tools} == {"preview", "paint", "paint_all", "explain", "every_style", "styles"}
    assert all(tool.description for tool in tools)
    asked = {tool.name: tool.inputSchema["properties"] for tool in tools}
    assert {name for properties in asked.values() for name in properties} == set(PARAMETERS)
    assert all(each["description"] == PARAMETERS[name] for each in asked.values() for name, each in each.items())
    assert {kind["type"] for kind in asked["paint"].values()} == {"string", "number", "boolean"}
    assert asked["paint"]["style"]["enum"] == ["red", "oak"]
    assert "'key': 'oak'" in styles.content[0].text and not styles.isError
    assert "Oak, 96 × 80 pixels." in str(painted.content)
    expected = StyleTransferPipeline.from_pretrained(pack, device="cpu")(photo, "oak", strength=0.5)
    assert_alike(pixels(painting), pixels(expected))


def test_without_the_flag_there_are_no_tools(address):
    with pytest.raises(urllib.error.HTTPError, match="404|405"):
        urllib.request.urlopen(f"{address}gradio_api/mcp/schema", timeout=30)
