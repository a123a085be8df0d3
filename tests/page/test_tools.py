"""The page as a server of tools for language models (MCP), asked by a real client."""

import asyncio
import base64
import io
import os
import re
import time
import urllib.error
import urllib.request

import pytest
from gradio_client import Client, handle_file
from mcp import ClientSession
from mcp.client.streamable_http import streamable_http_client
from page_kit import assert_alike, pixels, start_app
from PIL import Image
from small_generators import random_generator

from styletransfer.packs.card import write_card
from styletransfer.page.api import PARAMETERS, STYLES
from styletransfer.pipeline import StyleTransferPipeline

pytestmark = pytest.mark.slow


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
        return listed.tools, styles, await session.call_tool("paint", {"photo": data, "style": "blue", "strength": 0.5})

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
    assert asked["paint"]["style"]["enum"] == ["red", "blue"]
    assert "'key': 'blue'" in styles.content[0].text and not styles.isError
    assert "Blue, 96 × 80 pixels." in str(painted.content)
    expected = StyleTransferPipeline.from_pretrained(pack, device="cpu")(photo, "blue", strength=0.5)
    assert_alike(pixels(painting), pixels(expected))


def test_a_style_that_comes_from_the_hub_later_is_painted_by_a_tool_and_by_a_call(hub, pack, tmp_path, photo):
    """Gradio describes the endpoints when it starts, and its tools refused what was not in that description."""
    photo.save(tmp_path / "photo.png")
    data = "data:image/png;base64," + base64.b64encode((tmp_path / "photo.png").read_bytes()).decode()
    late = tmp_path / "late"
    random_generator({"moss": "Moss"}, channels=8, blocks=1, seed=1).save_pretrained(late)
    write_card(late)
    watching = {"STYLETRANSFER_PACKS": "studio/late", "STYLETRANSFER_HUB_SECONDS": "1", "STYLETRANSFER_MCP": "1"}

    async def ask(session):
        mixed = {"photo": data, "style": "red", "second": "studio/late:moss"}
        return [
            await session.call_tool("preview", asked) for asked in ({**mixed, "style": "studio/late:moss"}, mixed)
        ], (await session.list_tools()).tools

    for address in app(pack, tmp_path / "app", **hub.environment() | watching):
        client = Client(address, verbose=False, analytics_enabled=False)
        hub.put("studio/late", {path.name: path for path in late.iterdir()})
        end = time.monotonic() + 60
        while "studio/late:moss" not in str(client.predict(api_name="/styles")) and time.monotonic() < end:
            time.sleep(0.2)
        answers, tools = asyncio.run(with_session(address, ask))
        said = client.predict(photo=handle_file(tmp_path / "photo.png"), style="studio/late:moss", api_name="/paint")[1]
        described = client.view_api(return_format="dict", print_info=False)["named_endpoints"]["/paint"]["parameters"]
    assert [answer.isError for answer in answers] == [False, False], answers
    assert "Moss, 96 × 80 pixels." in str(answers[0].content) and "Red + Moss, 96" in str(answers[1].content)
    assert said == "Moss, 96 × 80 pixels."
    assert {each["python_type"]["type"] for each in described if each["parameter_name"] in STYLES} == {"str"}
    kinds = [tool.inputSchema["properties"][name] for tool in tools if tool.name == "paint" for name in STYLES]
    assert [kind["type"] for kind in kinds] == ["string"] * 3 and not [kind for kind in kinds if "enum" in kind]


def test_without_the_flag_there_are_no_tools(address):
    with pytest.raises(urllib.error.HTTPError, match="404|405"):
        urllib.request.urlopen(f"{address}gradio_api/mcp/schema", timeout=30)
