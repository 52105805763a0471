"""A client that has nothing but the address of the server: it follows the gateway's
metadata to the authorization server, gets a token, calls a tool, is stopped by scope at
another, asks for more, and calls again. Prints what the server says of each call.
"""

import asyncio
import json
import os

from fastmcp import Client
from fastmcp.utilities.tests import HeadlessOAuth

URL = os.environ.get("GATEWAY", "http://127.0.0.1:10000") + "/mcp"


async def main():
    async with Client(URL, auth=HeadlessOAuth(URL)) as client:
        for tool, arguments in [
            ("list_catalog", {}), ("place_order", {"item": "cup"}), ("list_catalog", {}),
        ]:
            print(json.dumps((await client.call_tool(tool, arguments)).data), flush=True)


asyncio.run(main())
