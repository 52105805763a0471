"""A client of DPoP from PyPI: prints the thumbprint of a new key, reads a token that is
bound to it, and tells what each request came to. usage: dpop.py ALGORITHM URL"""

import sys

import requests
from requests_oauth2client import DPoPKey, DPoPToken

algorithm, url = sys.argv[1:]
key = DPoPKey.generate(alg=algorithm)
print(key.dpop_jkt, flush=True)
token = sys.stdin.readline().strip()

session = requests.Session()
session.auth = DPoPToken(access_token=token, _dpop_key=key)
for name in ["first", "second", "third"]:
    response = session.get(url, params={"page": 2})
    print(name, response.status_code, flush=True)
    # By itself it learns the nonce only where the challenge begins with DPoP.
    if name == "first":
        key.handle_rs_provided_dpop_nonce(response)
other = DPoPToken(access_token=token, _dpop_key=DPoPKey.generate(alg=algorithm))
print("by another key", requests.get(url, auth=other).status_code, flush=True)
print("as bearer", requests.get(url, headers={"authorization": f"Bearer {token}"}).status_code)
