"""What jwcrypto says of tokens: reads {keys, issuer, audience, tokens} from the
standard input, writes a list of booleans, true for a token that it accepts."""

import json
import sys

from jwcrypto import jwk, jwt

given = json.load(sys.stdin)
keys = jwk.JWKSet.from_json(json.dumps({"keys": given["keys"]}))
claims = {"iss": given["issuer"], "aud": given["audience"], "sub": None, "exp": None}


def accepts(token):
    try:
        verified = jwt.JWT(check_claims=claims, algs=given["algorithms"])
        verified.leeway = 60
        verified.deserialize(token, keys)
        return True
    except Exception:  # of whatever kind: it is not accepted
        return False


json.dump([accepts(token) for token in given["tokens"]], sys.stdout)
