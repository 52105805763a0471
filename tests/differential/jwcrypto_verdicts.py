"""What jwcrypto says of tokens: reads {issuers: [{issuer, keys, algorithms}], audience,
tokens} from the standard input, writes a list of booleans, true for a token that it
accepts from one of the issuers."""

import json
import sys

from jwcrypto import jwk, jwt

given = json.load(sys.stdin)
issuers = [
    (jwk.JWKSet.from_json(json.dumps({"keys": it["keys"]})), it) for it in given["issuers"]
]


def accepts(token, keys, issuer):
    claims = {"iss": issuer["issuer"], "aud": given["audience"], "sub": None, "exp": None}
    try:
        verified = jwt.JWT(check_claims=claims, algs=issuer["algorithms"])
        verified.leeway = 60
        verified.deserialize(token, keys)
        return True
    except Exception:  # of whatever kind: it is not accepted
        return False


verdicts = [any(accepts(token, *it) for it in issuers) for token in given["tokens"]]
json.dump(verdicts, sys.stdout)
