// Two clients of DPoP from npm: prints the thumbprint of a new key, reads a token that is
// bound to it, and tells what each request came to. usage: node dpop.mjs LIBRARIES URL
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

const tell = (name, value) => console.log(`${name} ${value}`);
const send = (proof) =>
  fetch(`${url}?page=2`, { headers: { authorization: `DPoP ${token}`, dpop: proof } });

const without = await send(await DPoP.generateProof(keys, url, "GET", undefined, token));
tell("without a nonce", without.status);
const nonce = without.headers.get("dpop-nonce");
const proof = await DPoP.generateProof(keys, url, "GET", nonce, token);
tell("with it", (await send(proof)).status);
tell("again", (await send(proof)).status);
const other = await DPoP.generateKeyPair("ES256");
const stolen = await DPoP.generateProof(other, url, "GET", nonce, token);
tell("by another key", (await send(stolen)).status);

const client = { client_id: "web" };
const handle = oauth.DPoP(client, keys);
const options = { DPoP: handle, [oauth.allowInsecureRequests]: true };
const ask = () =>
  oauth.protectedResourceRequest(token, "GET", new URL(`${url}?page=2`), new Headers(), null, options);
// It learns the nonce of the first answer, which it throws.
let challenges;
try {
  await ask();
} catch (error) {
  challenges = error.cause.map((it) => `${it.scheme}:${it.parameters.error ?? ""}`).join();
  tell("oauth4webapi's challenges", challenges);
}
for (const name of ["oauth4webapi", "oauth4webapi again"]) tell(name, (await ask()).status);
lines.close();
