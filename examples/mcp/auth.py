"""The shop's authorization server, as small as MCP clients take one: metadata (RFC 8414),
dynamic registration, authorization code with PKCE, tokens for a resource (RFC 8707).

For demonstration only: whoever asks is alice, and gets what they ask for.
"""

import base64
import hashlib
import os
import secrets
import time

import uvicorn
from joserfc import jwt
from joserfc.jwk import ECKey
from starlette.applications import Starlette
from starlette.responses import JSONResponse, RedirectResponse
from starlette.routing import Route

PORT = int(os.environ.get("PORT", "9100"))
ISSUER = os.environ.get("ISSUER", f"http://127.0.0.1:{PORT}")

key = ECKey.generate_key("P-256", {"use": "sig", "alg": "ES256"}, auto_kid=True)
codes: dict[str, dict] = {}


async def metadata(_request):
    return JSONResponse({
        "issuer": ISSUER,
        "authorization_endpoint": f"{ISSUER}/authorize",
        "token_endpoint": f"{ISSUER}/token",
        "registration_endpoint": f"{ISSUER}/register",
        "jwks_uri": f"{ISSUER}/jwks.json",
        "response_types_supported": ["code"],
        "grant_types_supported": ["authorization_code"],
        "token_endpoint_auth_methods_supported": ["none"],
        "code_challenge_methods_supported": ["S256"],
        "scopes_supported": ["catalog.read", "orders.write"],
        "authorization_response_iss_parameter_supported": True,
    })


async def register(request):
    client = await request.json()
    client |= {"client_id": secrets.token_urlsafe(8), "token_endpoint_auth_method": "none"}
    return JSONResponse(client, status_code=201)


async def authorize(request):
    asked = request.query_params
    code = secrets.token_urlsafe(16)
    codes[code] = dict(asked)
    back = f"{asked['redirect_uri']}?code={code}&iss={ISSUER}"
    return RedirectResponse(back + (f"&state={asked['state']}" if "state" in asked else ""), 302)


async def token(request):
    form = await request.form()
    asked = codes.pop(form.get("code"), None)
    digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
    challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
    if asked is None or asked.get("code_challenge") != challenge:
        return JSONResponse({"error": "invalid_grant"}, status_code=400)
    now = int(time.time())
    claims = {
        "iss": ISSUER, "sub": "alice", "azp": asked["client_id"], "iat": now, "exp": now + 600,
        "aud": form.get("resource") or asked.get("resource"),
        "scope": asked.get("scope", ""), "jti": secrets.token_urlsafe(8),
    }
    header = {"alg": "ES256", "kid": key.kid, "typ": "at+jwt"}
    return JSONResponse({
        "access_token": jwt.encode(header, claims, key), "token_type": "Bearer",
        "expires_in": 600, "scope": claims["scope"],
    })


async def jwks(_request):
    return JSONResponse({"keys": [key.as_dict(private=False)]})


app = Starlette(routes=[
    Route("/.well-known/oauth-authorization-server", metadata),
    Route("/register", register, methods=["POST"]),
    Route("/authorize", authorize),
    Route("/token", token, methods=["POST"]),
    Route("/jwks.json", jwks),
])

if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=PORT, log_level="warning")
