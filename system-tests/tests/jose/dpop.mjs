// A client of npm's `dpop`: `node dpop.mjs ALGORITHM`. It says its key's thumbprint, then answers each line
// `METHOD URI TOKEN` with a proof; a token of `-` is none.
import { createInterface } from "node:readline";
import * as DPoP from "dpop";

const pair = await DPoP.generateKeyPair(process.argv[2]);
console.log(await DPoP.calculateThumbprint(pair.publicKey));
for await (const line of createInterface({ input: process.stdin })) {
  const [method, uri, token] = line.trim().split(" ");
  console.log(await DPoP.generateProof(pair, uri, method, undefined, token === "-" ? undefined : token));
}
