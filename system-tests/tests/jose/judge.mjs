// npm `jose` as a second opinion: one JSON line in, one out, until stdin ends.
//   {"op":"verify","token","jwks","options":{…jwtVerify options, currentDate in Unix seconds…}} -> {"accept":true} | {"accept":false,"code"}
//   {"op":"sign","alg","kid","claims","header"} -> {"token","jwk"}: a fresh key pair each time
import { createInterface } from 'node:readline';
import * as jose from 'jose';

const verify = async ({ token, jwks, options = {} }) => {
  const { currentDate, ...rest } = options;
  const keys = jose.createLocalJWKSet(jwks);
  const settings = { ...rest, currentDate: new Date((currentDate ?? 1800000000) * 1000) };
  try {
    await jose.jwtVerify(token, keys, settings);
    return { accept: true };
  } catch (error) {
    return { accept: false, code: String(error.code ?? error.name) };
  }
};

const sign = async ({ alg, kid, claims, header = {} }) => {
  const { publicKey, privateKey } = await jose.generateKeyPair(alg, { extractable: true });
  const token = await new jose.SignJWT(claims).setProtectedHeader({ alg, kid, ...header }).sign(privateKey);
  return { token, jwk: { ...(await jose.exportJWK(publicKey)), alg, kid, use: 'sig' } };
};

for await (const line of createInterface({ input: process.stdin })) {
  const request = JSON.parse(line);
  const answer = await (request.op === 'sign' ? sign(request) : verify(request));
  process.stdout.write(JSON.stringify(answer) + '\n');
}
