// Two clients of DPoP from npm: prints the thumbprint of a new key, reads a token that is
// bound to it, and prints the answer to each request, in JSON. usage: node dpop.mjs LIBRARIES URL
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";
import readline from "node:readline";

const [libraries, url] = process.argv.slice(2);
const resolve = createRequire(`${libraries}/package.json`).resolve;
const library = (name) => import(pathToFileURL(resolve(name)));
const DPoP = await library("dpop");
const oauth = await library("oauth4webapi");

const keys = await DPoP.generateKeyPair("ES256", { extractable: true });
console.log(await DPoP.calculateThumbprint(keys.publicKey));
const lines = readline.createInterface({ input: process.stdin });
const token = (await lines[Symbol.asyncIterator]().next()).value;

const print = (line) => console.log(JSON.stringify(line));
const tell = async (name, answer) =>
  print({ name, status: answer.status, body: await answer.text() });
const send = (proof) =>
  fetch(`${url}?page=2`, { headers: { authorization: `DPoP ${token}`, dpop: proof } });

const without = await send(await DPoP.generateProof(keys, url, "GET", undefined, token));
await tell("without a nonce", without);
const nonce = without.headers.get("dpop-nonce");
const proof = await DPoP.generateProof(keys, url, "GET", nonce, token);
await tell("with it", await send(proof));
await tell("again", await send(proof));
const other = await DPoP.generateKeyPair("ES256");
const stolen = await DPoP.generateProof(other, url, "GET", nonce, token);
await tell("by another key", await send(stolen));

const client = { client_id: "web" };
const handle = oauth.DPoP(client, keys);
const options = { DPoP: handle, [oauth.allowInsecureRequests]: true };
const ask = () =>
  oauth.protectedResourceRequest(token, "GET", new URL(`${url}?page=2`), new Headers(), null, options);
// It learns the nonce of the first answer, which it throws.
try {
  await ask();
} catch (error) {
  const challenges = error.cause.map((it) => `${it.scheme}:${it.parameters.error ?? ""}`).join();
  print({ name: "oauth4webapi's challenges", challenges });
}
for (const name of ["oauth4webapi", "oauth4webapi again"]) await tell(name, await ask());
lines.close();
