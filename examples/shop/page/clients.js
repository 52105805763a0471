// Clients other than the page: a thief with its token, and an agent. Keys are the browser's
// own, and no script can read them.
import { backstage, by, call, el } from "./shop.js";

const inBase64 = (bytes) => btoa(String.fromCharCode(...new Uint8Array(bytes)))
  .replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
const bytes = (text) => new TextEncoder().encode(text);
const encoded = (json) => inBase64(bytes(JSON.stringify(json)));
const ecdsa = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };

async function newKey() {
  const { publicKey, privateKey } = await crypto.subtle.generateKey(ecdsa, false, ["sign"]);
  const { kty, crv, x, y } = await crypto.subtle.exportKey("jwk", publicKey);
  return { privateKey, jwk: { kty, crv, x, y } };
}

/** A proof (RFC 9449) that the sender of one request has the key. */
async function proof(key, htm, htu, token) {
  const claims = { jti: crypto.randomUUID(), htm, htu, iat: Math.floor(Date.now() / 1000) };
  if (token) claims.ath = inBase64(await crypto.subtle.digest("SHA-256", bytes(token)));
  const input = `${encoded({ typ: "dpop+jwt", alg: "ES256", jwk: key.jwk })}.${encoded(claims)}`;
  return `${input}.${inBase64(await crypto.subtle.sign(ecdsa, key.privateKey, bytes(input)))}`;
}

/** Adds a line: what was done, and what the answer was. */
function step(list, what, status, more) {
  const kind = status >= 200 && status < 300 ? "good" : "bad";
  list.append(el("li", {}, el("span", {}, what), el("code", { class: `${kind} answer` }, `${status}${more ? ` ${more}` : ""}`)));
}

/** Calls the gateway with these headers, and without the browser's cookie. */
async function request(list, what, headers) {
  const options = { headers, credentials: "omit", cache: "no-store" };
  const response = await fetch("/catalog", options).catch(() => null);
  const json = await response?.json().catch(() => ({})) ?? {};
  step(list, what, response?.status ?? 0, json.code);
}

/** What a thief gets hold of, and the key that it does not. */
let stolen = null;

async function bind() {
  const list = by("bound");
  list.replaceChildren();
  if (!crypto.subtle) {
    step(list, "keys are to be had at localhost and with TLS only", 0);
    return;
  }
  const key = await newKey();
  const url = `${backstage}/auth/bind`;
  const options = { method: "POST", credentials: "include", headers: { dpop: await proof(key, "POST", url) } };
  const answer = await fetch(url, options).catch(() => null);
  if (!answer?.ok) {
    step(list, "the auth service gives no token", answer?.status ?? 0);
    return;
  }
  const { access_token: token, claims } = await answer.json();
  step(list, ["a token for key ", el("code", { class: "id" }, claims.cnf.jkt.slice(0, 8))], answer.status);
  const used = await proof(key, "GET", `${location.origin}/catalog`, token);
  stolen = { token, used };
  await request(list, "this page, with a proof by its key", { authorization: `DPoP ${token}`, dpop: used });
}

async function steal() {
  if (!stolen) await bind();
  if (!stolen) return;
  const list = by("bound");
  const { token, used } = stolen;
  const own = await proof(await newKey(), "GET", `${location.origin}/catalog`, token);
  await request(list, "thief: the token as a bearer token", { authorization: `Bearer ${token}` });
  await request(list, "thief: with a proof by another key", { authorization: `DPoP ${token}`, dpop: own });
  await request(list, "thief: with the proof that was used", { authorization: `DPoP ${token}`, dpop: used });
}

async function send() {
  const list = by("agent");
  list.replaceChildren();
  const { ok, status, json } = await call(backstage, "/agent", { port: Number(location.port) });
  if (!ok) step(list, "the agent does not answer", status);
  for (const { request, status, found } of json.steps ?? []) {
    list.append(el("li", {}, el("span", { class: "mono" }, request.replace(location.origin, "")), el("code", { class: "answer" }, status), found ? el("p", { class: "note" }, found) : null));
  }
  if (json.failed) list.append(el("li", { class: "bad" }, json.failed));
}

/** One at a time. */
for (const [id, action] of [["bind", bind], ["steal", steal], ["send", send]]) {
  by(id).addEventListener("click", async () => {
    if (by(id).getAttribute("aria-busy") === "true") return;
    by(id).setAttribute("aria-busy", "true");
    try { await action(); } finally { by(id).setAttribute("aria-busy", "false"); }
  });
}
