// An ordinary relying party on npm `jose`: `node rely.mjs ISSUER AUDIENCE`, a token a line in, a verdict a line out.
import { createInterface } from "node:readline";
import { createRemoteJWKSet, jwtVerify } from "jose";

const [issuer, audience] = process.argv.slice(2);
const found = await (await fetch(`${issuer}/.well-known/openid-configuration`)).json();
const keys = createRemoteJWKSet(new URL(found.jwks_uri), { cacheMaxAge: 1000, cooldownDuration: 100 });

for await (const line of createInterface({ input: process.stdin })) {
  try {
    const { payload } = await jwtVerify(line.trim(), keys, { issuer: found.issuer, audience, typ: "at+jwt" });
    console.log(`accept ${payload.sub}`);
  } catch (error) {
    console.log(`refuse ${error.code} ${error.message}`);
  }
}
