"""A shop's MCP server behind Gatepass.

It knows nothing of the tokens that clients have. It verifies the identity token that
Gatepass puts in their place, by Gatepass's key set, with FastMCP's own verifier.
"""

import os

from fastmcp import FastMCP
from fastmcp.server.auth.providers.jwt import JWTVerifier
from fastmcp.server.dependencies import get_access_token

GATEWAY = os.environ.get("GATEWAY", "http://127.0.0.1:10000")

shop = FastMCP(
    "shop",
    auth=JWTVerifier(
        jwks_uri=f"{GATEWAY}/.well-known/gatepass/jwks.json",
        issuer="https://gateway.shop.internal",
        audience="shop-mcp",
        algorithm="ES256",
    ),
)


def whoami() -> dict:
    """What the gateway says of who calls."""
    claims = get_access_token().claims
    return {name: claims.get(name) for name in ("iss", "aud", "sub", "scope", "act")}


@shop.tool
def list_catalog() -> dict:
    """Lists what the shop sells."""
    return {"tool": "list_catalog", "items": ["teapot", "cup"], "identity": whoami()}


@shop.tool
def place_order(item: str) -> dict:
    """Orders an item."""
    return {"tool": "place_order", "item": item, "identity": whoami()}


if __name__ == "__main__":
    port = int(os.environ.get("PORT", "9200"))
    shop.run(transport="http", host="127.0.0.1", port=port, path="/mcp", stateless_http=True)
