// A third party that looks tokens' status up by itself: argument the gate's discovery document, one token a line in,
// one JSON line out. It knows only what the specifications say: discovery, the key set, the token's `status` claim.
import { createInterface } from 'node:readline';
import { getListFromStatusListJWT, getStatusListFromJWT } from '@sd-jwt/jwt-status-list';
import * as jose from 'jose';

const [discovery] = process.argv.slice(2);
const { issuer, jwks_uri } = await (await fetch(discovery)).json();
const keys = jose.createRemoteJWKSet(new URL(jwks_uri));

const status = async (token) => {
  try {
    const { payload } = await jose.jwtVerify(token, keys, { issuer, typ: 'at+jwt' });
    const { idx, uri } = getStatusListFromJWT(token);
    const answer = await fetch(uri, { headers: { accept: 'application/statuslist+jwt' } });
    if (!answer.ok) return { error: `status ${answer.status} at ${uri}` };
    const list = (await answer.text()).trim();
    const signed = await jose.jwtVerify(list, keys, { typ: 'statuslist+jwt' });
    if (signed.payload.sub !== uri) return { error: 'the list is another one' };
    const maxAge = answer.headers.get('cache-control');
    // The list is no token: whoever demands what access tokens have must refuse it.
    const asToken = await jose.jwtVerify(list, keys, { issuer, typ: 'at+jwt' }).then(() => true, () => false);
    const all = getListFromStatusListJWT(list);
    return { id: payload.jti, status: all.getStatus(idx), ttl: signed.payload.ttl, maxAge, asToken,
      type: answer.headers.get('content-type') };
  } catch (error) {
    return { error: String(error.code ?? error.message) };
  }
};

for await (const line of createInterface({ input: process.stdin })) {
  process.stdout.write(JSON.stringify(await status(line.trim())) + '\n');
}
