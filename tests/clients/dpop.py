"""A client of DPoP from PyPI: prints the thumbprint of a new key, reads a token that is
bound to it, and prints the answer to each request, in JSON. usage: dpop.py ALGORITHM URL"""

import json
import sys

import requests
from jwskate import Jwk
from requests_oauth2client import DPoPKey, DPoPToken

algorithm, url = sys.argv[1:]
# Or RSA keys are of 4096 bits, which take long to find.
size = {"key_size": 2048} if algorithm in ["RS256", "PS256"] else {}


def new_key():
    return DPoPKey(private_key=Jwk.generate(alg=algorithm, **size))


key = new_key()
print(key.dpop_jkt, flush=True)
token = sys.stdin.readline().strip()


def tell(name, answer):
    print(json.dumps({"name": name, "status": answer.status_code, "body": answer.text}), flush=True)


session = requests.Session()
session.auth = DPoPToken(access_token=token, _dpop_key=key)
for name in ["first", "second", "third"]:
    response = session.get(url, params={"page": 2})
    tell(name, response)
    # By itself it learns the nonce only where the challenge begins with DPoP.
    if name == "first":
        first = response
        key.handle_rs_provided_dpop_nonce(response)
# Another key knows the nonce too, so that it is the key which is refused.
other = new_key()
other.handle_rs_provided_dpop_nonce(first)
tell("by another key", requests.get(url, auth=DPoPToken(access_token=token, _dpop_key=other)))
tell("as bearer", requests.get(url, headers={"authorization": f"Bearer {token}"}))
