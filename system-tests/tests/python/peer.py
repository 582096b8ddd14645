"""Ordinary software that takes our tokens, for the tests: a line in, a line out.

    peer.py pyjwt ISSUER AUDIENCE          tokens in; "accept SUBJECT" or "refuse WHY" out
    peer.py spiffe BUNDLE DOMAIN AUDIENCE  the same, by a SPIFFE bundle that is read anew for each token
    peer.py tokenreview                    a TokenReview in, as the kubernetes client's own types write it out
"""

import json
import sys
import urllib.request


def pyjwt(issuer, audience):
    import jwt

    with urllib.request.urlopen(issuer + "/.well-known/openid-configuration") as answer:
        found = json.load(answer)
    keys = jwt.PyJWKClient(found["jwks_uri"], cache_jwk_set=True, lifespan=1)
    algorithms = found["id_token_signing_alg_values_supported"]

    def judge(token):
        key = keys.get_signing_key_from_jwt(token)
        claims = jwt.decode(
            token, key, algorithms=algorithms, audience=audience, issuer=found["issuer"],
            options={"require": ["exp", "iat", "sub"]})
        return claims["sub"]

    return judge


def spiffe(bundle, domain, audience):
    from spiffe import JwtBundle, JwtSvid, TrustDomain

    def judge(token):
        with open(bundle, "rb") as file:
            keys = JwtBundle.parse(TrustDomain(domain), file.read())
        return str(JwtSvid.parse_and_validate(token, keys, {audience}).spiffe_id)

    return judge


def tokenreview():
    from kubernetes.client import ApiClient

    client = ApiClient()

    def reviewed(line):
        # What its types do not know would be lost on the way back; a required member left out raises.
        review = client.deserialize(line, "V1TokenReview", "application/json")
        return json.dumps(client.sanitize_for_serialization(review))

    return reviewed


def main():
    kind, arguments = sys.argv[1], sys.argv[2:]
    answer = {"pyjwt": pyjwt, "spiffe": spiffe, "tokenreview": tokenreview}[kind](*arguments)
    for line in sys.stdin:
        try:
            said = answer(line.strip())
            said = said if kind == "tokenreview" else "accept " + said
        except Exception as fault:
            said = "refuse " + type(fault).__name__ + " " + str(fault).replace("\n", " ")
        print(said, flush=True)


main()
