// Shows the home page and how it came about. Text reaches the page as text.
const origin = (port) => `${location.protocol}//${location.hostname}:${port}`;
export const backstage = origin(document.querySelector("meta[name=backstage]").content);
export const by = (id) => document.getElementById(id);
/** What happened; `bad` if it is a failure. */
const say = (text, bad = false) => {
  by("status").className = bad ? "bad" : "";
  by("status").textContent = text;
};

/** An element with attributes and children. */
export function el(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (value !== undefined) element.setAttribute(key, value);
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined));
  return element;
}

/** A drawing, whose paths are ours. */
function drawing(box, paths) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", box);
  svg.setAttribute("aria-hidden", "true");
  for (const [name, attributes] of paths) {
    const shape = document.createElementNS(svg.namespaceURI, name);
    for (const [key, value] of Object.entries(attributes)) shape.setAttribute(key, value);
    svg.append(shape);
  }
  return svg;
}

const products = {
  "moka-pot": "M17 12h14l-3 12 5 16H15l5-16zM24 12V8M20 24h8M31 14h6l-2 14",
  "hand-grinder": "M18 18h12v22H18zM18 30h12M24 18v-6h12M36 12v4",
  "espresso-cups": "M12 18h20v8a10 10 0 0 1-20 0zM32 20h3a4 4 0 0 1 0 8h-3M9 40h26M19 13v-4M25 13v-4",
  "pour-over": "M12 10h24l-9 14h-6zM21 24h6M18 28h12l3 12H15z",
  "matcha-bowl": "M8 18h32c0 12-6 20-16 20S8 30 8 18zM19 38v3h10v-3",
  "matcha-whisk": "M20 6h8v14h-8zM20 20l-6 20M28 20l6 20M22 20l-2 20M26 20l2 20M14 40q10 4 20 0",
  "iron-kettle": "M12 24h24a12 14 0 0 1-4 16H16a12 14 0 0 1-4-16zM36 27l6-4M15 24a9 14 0 0 1 18 0M24 24v-3",
  "tea-tin": "M14 16h20v24H14zM16 10h16v6H16zM19 24h10v8H19z",
};
const picture = (id) => drawing("0 0 48 48", [["path", { d: products[id] ?? "M10 10h28v28H10z" }]]);
const countries = { ES: "Spain", JP: "Japan", US: "the United States", NL: "the Netherlands" };
const price = ({ amount, currency }) => {
  const money = new Intl.NumberFormat("en", { style: "currency", currency });
  return money.format(amount / 10 ** money.resolvedOptions().maximumFractionDigits);
};

let mode = "with";
let user = null;

/** The status, and what is in the body. A failure to connect is an answer too. */
export async function call(base, path, body) {
  const options = { credentials: "include", cache: "no-store" };
  if (body !== undefined) {
    options.method = "POST";
    options.headers = { "content-type": "application/json" };
    options.body = JSON.stringify(body);
  }
  try {
    const response = await fetch(base + path, options);
    const text = await response.text();
    let json = {};
    try { json = JSON.parse(text); } catch { /* Not every answer is JSON. */ }
    return { status: response.status, ok: response.ok, json };
  } catch {
    return { status: 0, ok: false, json: { detail: "No answer." } };
  }
}

/** Who asked the user service how often, and whether it answers. */
async function userCalls() {
  const { by_caller: { gateway = 0, ...services } = {}, is_down: isDown = false } = (await call(backstage, "/users/calls")).json;
  return { gateway, services: Object.values(services).reduce((sum, calls) => sum + calls, 0), isDown };
}

/** How often it was asked since this tab showed a page, or since the start. */
function askedSince(calls) {
  const before = JSON.parse(sessionStorage.getItem("calls"));
  sessionStorage.setItem("calls", JSON.stringify(calls));
  const asked = (before ? ["gateway", "services"] : []).map((who) => Math.max(0, calls[who] - before[who]));
  const [gateway, services] = before ? asked : [calls.gateway, calls.services];
  return { times: mode === "with" ? gateway : services, sinceStart: !before };
}

/** Loads the page's content in the chosen way, and shows all of it. */
async function load() {
  const base = mode === "with" ? "" : backstage;
  const started = performance.now();
  let home = await call(base, "/home");
  const took = Math.round(performance.now() - started);
  let denied = null;
  if (home.status === 403 && mode === "with") {
    denied = home;
    home = await call(base, "/catalog");
  }
  const [token, calls, views] = await Promise.all([call(backstage, "/auth/token"), userCalls(), call(backstage, "/views")]);
  const asked = askedSince(calls);
  const trace = home.json.trace ?? [];

  showFlow(home, token.json, trace, asked, calls.isDown);
  if (!home.ok) showProblem(home);
  else if (denied) showCatalog(home.json.content, denied);
  else showHome(home.json.content);
  showCounts(views.json, calls);
  showToken(token.json);
  showTrace(trace);
  user = token.json.claims?.sub ?? null;
  by("users").textContent = calls.isDown ? "Start the user service" : "Stop the user service";
  by("revoke").textContent = user ? `Revoke ${user}` : "Revoke this user";
  by("main").hidden = false;
  return { ...home, took, asked: asked.times };
}

const pill = (kind) => el("span", { class: `pill ${kind}` }, { identity: "identity token", public: "access token", none: "no token" }[kind]);

function link(kind, text) {
  const narrow = matchMedia("(max-width: 56rem)").matches;
  const arrow = narrow
    ? drawing("0 0 14 26", [["line", { x1: 7, y1: 0, x2: 7, y2: 22 }], ["path", { d: "M2 18l5 6 5-6" }]])
    : drawing("0 0 100 14", [["line", { x1: 0, y1: 7, x2: 96, y2: 7 }], ["path", { d: "M91 2l6 5-6 5" }]]);
  return el("li", { class: `link fresh ${kind}` }, pill(kind), arrow, el("span", {}, text));
}

function showFlow(home, token, trace, asked, isDown) {
  const withFilter = mode === "with";
  const kid = token.header?.kid?.slice(0, 6);
  const reached = trace.length > 0;
  const kind = trace[0]?.token ?? "none";
  const services = new Map(trace.map((hop) => [hop.service, hop.token]));
  const gateway = withFilter
    ? el("li", { class: reached ? "node" : "node refused" },
      el("h3", {}, "Gateway with Gatepass"),
      el("p", {}, document.querySelector(".doors [aria-current]")?.textContent ?? ""),
      el("p", {}, reached ? "verified the access token, signed the identity" : "let nothing through"),
      reached ? el("p", {}, "application ", el("strong", {}, trace[0].claims.consumer?.username ?? "none")) : el("p", { class: "ask" }, `${home.status} ${home.json.code ?? ""}`))
    : el("li", { class: "node off" }, el("h3", {}, "Gateway without a filter"), el("p", {}, "passes on what the browser sent, whatever it is"));
  const users = userService(asked, isDown);
  by("flow").className = `flow ${mode}`;
  by("flow").replaceChildren(...[
    el("li", { class: "node" }, el("h3", {}, "Browser"), el("p", {}, "logged in as ", el("strong", {}, token.claims?.sub ?? "nobody")), el("p", {}, "cookie ", el("code", {}, "shop_token")), token.claims ? el("p", {}, `good until ${clock(token.claims.exp)}`) : null),
    link(token.claims ? "public" : "none", token.claims ? ["signed by auth, key ", el("span", { class: "id" }, kid)] : "nothing to show"),
    gateway,
    withFilter ? users : null,
    link(reached ? kind : "none", !reached ? "nothing" : withFilter ? `good until ${clock(trace[0].claims.exp)}` : "all the way"),
    el("li", { class: reached ? "node" : "node off" },
      el("h3", {}, "Services"),
      el("p", {}, !reached ? "were not reached, or have no answer" : withFilter
        ? `${count(trace.length, "request")}, each with one signature to verify`
        : `${count(trace.length, "request")}; each time verified the token and asked`),
      el("ul", { class: "chips" }, [...services].map(([name, token]) => el("li", { class: token }, name)))),
    withFilter ? null : users,
  ].filter((item) => item));
}

/** Who was asked, with a line for each time. */
function userService({ times, sinceStart }, isDown) {
  const lines = [...Array(Math.min(times, 24)).keys()].map((n) => {
    const x = 120 + (n - (Math.min(times, 24) - 1) / 2) * 9;
    return ["line", { x1: x, x2: x, y1: 0, y2: 22 }];
  });
  return el("li", { class: "users" }, drawing("0 0 240 22", lines),
    el("div", { class: isDown ? "node refused" : times ? "node" : "node off" },
      el("h3", {}, "User service"),
      el("p", { id: "asked" }, `${isDown ? "down, " : ""}${times ? `asked ${count(times, "time")}${sinceStart ? " since the start" : ""}` : "not asked"}`)));
}

const head = (title, service) => el("div", { class: "head" }, el("h2", {}, title), el("span", { class: "by" }, service));
const gap = (service) => el("p", { class: "note" }, `No answer from ${service}.`);

function showProblem({ status, json }) {
  const why = json.code ?? json.error ?? "";
  by("who").textContent = "";
  by("shop").replaceChildren(el("section", { class: "notice" },
    el("h1", { id: "shop-title", class: "bad" }, status === 401 ? "You are locked out" : "The shop cannot serve you now"),
    el("p", {}, el("code", { id: "problem" }, `${status} ${why}`), ` ${json.detail ?? ""}`),
    status === 401 ? el("a", { class: "button primary", href: "/login?return_to=/" }, "Log in again") : null));
}

function product(item, canBuy) {
  return el("li", { class: "product", "data-product": item.id }, picture(item.id),
    el("strong", {}, item.name), el("span", { class: "price" }, price(item.price)),
    canBuy ? el("button", { onclick: () => change(item.id, item.name) }, "Add", el("span", { class: "sr" }, ` ${item.name} to the basket`)) : null);
}

function showCatalog(items, denied) {
  by("who").textContent = "a courier's developer";
  by("shop").replaceChildren(
    el("section", {}, el("h1", { id: "shop-title" }, "The catalog"),
      el("div", { class: "notice info" }, el("p", {}, "For the rest of the shop the gateway says ", el("code", { id: "problem" }, `${denied.status} ${denied.json.code}`), ": this client may only GET /catalog."))),
    el("section", {}, head("Products", "catalog"), el("ul", { class: "grid" }, items.map((item) => product(item, false)))));
}

function showHome(home) {
  const { name, country, customer_type: type } = home.user;
  by("who").textContent = `${name}, ${type}, ${countries[country] ?? country}`;
  const { promotion, recommendations, reviews, catalog, basket } = home;
  const picks = recommendations?.map((item) => el("li", { class: "pick", "data-pick": item.id }, picture(item.id),
    el("strong", {}, item.name), el("span", { class: "price" }, price(item.price)),
    el("span", { class: "because" }, item.because.ordered ? `because you have the ${item.because.ordered.toLowerCase()}` : `popular in ${countries[item.because.popular_in] ?? "your country"}`)));
  by("shop").replaceChildren(
    el("div", {}, el("h1", { id: "shop-title" }, `Welcome, ${name.split(" ")[0]}`), el("p", { class: "lead" }, "Each part below is from a service of its own.")),
    promotion ? el("div", { class: "promotion", id: "promotion" }, el("div", {}, el("strong", {}, promotion.title), el("p", {}, promotion.text)), el("span", { class: "by" }, "promotions, by type")) : gap("promotions"),
    el("section", { "aria-label": "Recommendations" }, head("For you", "recommendations, by country and orders"), picks ? el("ul", { class: "grid picks" }, picks) : gap("recommendations")),
    el("div", { class: "halves" },
      el("section", { "aria-label": "Basket" }, head("Your basket", "basket, by user"), basket ? basketOf(basket) : gap("basket")),
      el("section", { "aria-label": "Reviews" }, head(`Reviews from ${countries[country] ?? country}`, "reviews, by country"),
        reviews ? el("ul", { class: "quotes" }, reviews.map((review) => el("li", {}, el("blockquote", {},
          el("p", { class: "stars" }, el("span", { "aria-hidden": "true" }, "★".repeat(review.stars) + "☆".repeat(5 - review.stars)), el("span", { class: "sr" }, `${review.stars} of 5 stars`)),
          el("p", { lang: review.language }, review.text),
          el("p", { class: "note" }, `${review.author}, on the ${review.product.toLowerCase()}`))))) : gap("reviews"))),
    el("section", { "aria-label": "Catalog" }, head("All products", "catalog, prices by country"), catalog ? el("ul", { class: "grid" }, catalog.map((item) => product(item, true))) : gap("catalog")));
}

function basketOf({ lines, percent_off: off, total }) {
  if (!lines.length) return el("div", { class: "basket", id: "basket" }, el("p", { class: "note" }, "Nothing in it yet."));
  return el("div", { class: "basket", id: "basket" },
    el("ul", { class: "basket" }, lines.map((line) => el("li", {}, el("span", {}, `${line.quantity} × ${line.name}`),
      el("button", { onclick: () => change(line.id, line.name, 0) }, "Remove", el("span", { class: "sr" }, ` ${line.name}`))))),
    el("p", { class: "total" }, `${price(total)}${off ? `, ${off}% off` : ""}`));
}

/** One more in the basket, or as many as given. */
async function change(id, name, quantity) {
  const base = mode === "with" ? "" : backstage;
  const current = await call(base, "/basket");
  const line = current.json.content?.lines.find((line) => line.id === id);
  const answer = await call(base, "/basket", { product: id, quantity: quantity ?? (line?.quantity ?? 0) + 1 });
  await load();
  say(answer.ok ? (quantity === 0 ? `${name} is out of the basket.` : `${name} is in the basket.`) : `The basket says ${answer.status} ${answer.json.code ?? answer.json.error ?? ""}.`, !answer.ok);
  const button = document.querySelector(`[data-product="${CSS.escape(id)}"] button`);
  button?.focus({ preventScroll: true });
}

function showCounts({ with: filtered = 0, without = 0, public_tokens_verified: verified = 0 }, calls) {
  by("views-with").textContent = filtered;
  by("views-without").textContent = without;
  by("calls-with").textContent = calls.gateway;
  by("calls-without").textContent = calls.services;
  by("checks-without").textContent = verified;
}

const count = (number, what) => `${number} ${what}${number === 1 ? "" : "s"}`;
const time = (micros) => (micros < 1000 ? `${micros} µs` : `${(micros / 1000).toFixed(1)} ms`);
const clock = (seconds) => new Date(seconds * 1000).toLocaleTimeString("en-GB");
function value(key, value) {
  if (["iat", "exp", "nbf"].includes(key)) return `${value} (${clock(value)})`;
  return typeof value === "string" ? value : JSON.stringify(value);
}
/** A name of a key or a token is one word, whatever letters it has. */
const isName = (text) => /^[\w-]{1,24}$/.test(text);
const list = (entries, kind) => el("dl", { class: kind }, entries.map(([key, text]) => [el("dt", {}, key), el("dd", { class: isName(text) ? "id" : undefined }, value(key, text))]));

function showToken({ header, claims, bytes }) {
  by("public").replaceChildren(claims
    ? list([["kid", header.kid], ["typ", `${header.typ}, ${header.alg}, ${bytes} bytes`], ...Object.entries(claims)])
    : el("p", { class: "note" }, "None."));
}

function showTrace(trace) {
  const open = new Set([...by("trace").querySelectorAll("details[open]")].map((each) => each.dataset.key));
  const seen = new Map();
  by("trace").replaceChildren(...(trace.length ? trace : []).map((hop) => {
    const from = hop.headers.find(([name]) => name === "x-forwarded-by")?.[1] ?? "gateway";
    const count = seen.get(`${from}-${hop.service}`) ?? 0;
    seen.set(`${from}-${hop.service}`, count + 1);
    const key = `${from}-${hop.service}-${count}`;
    const calls = hop.user_service_calls;
    const details = el("details", { "data-key": key, "data-service": hop.service },
      el("summary", {}, el("span", { class: "to" }, hop.service), el("span", { class: "from" }, `from ${from}`),
        el("span", { class: "cost" }, `${calls ? (calls > 1 ? `asked ${calls}×, ` : "asked, ") : ""}${time(hop.micros)}`), el("span", { class: `pill ${hop.token}` }, hop.token === "public" ? "access" : hop.token)),
      el("div", { class: "inside" },
        el("p", {}, hop.token === "public" ? "Claims: the access token's, and what it asked for" : hop.token === "identity" ? "Claims of the identity token" : "No claims"), list(Object.entries(hop.claims)),
        el("p", {}, "Header fields"), list(hop.headers, "wide")));
    details.open = open.has(key);
    return details;
  }));
  if (!trace.length) by("trace").replaceChildren(el("p", { class: "note" }, "No service was reached."));
}

/** What a button does, then the page again: nothing happens behind its back. */
const on = (id, action) => by(id).addEventListener("click", () => action(by(id)));

const told = ({ ok, status, json }) => (ok ? "The page still loads." : `The page does not load: ${status} ${json.code ?? json.error ?? ""}.`);

on("again", async () => {
  const { ok, took, asked, status, json } = await load();
  say(ok ? `Loaded in ${took} ms${mode === "with" && !asked ? "; the user service was not asked" : ""}.` : told({ ok, status, json }), !ok);
});

on("revoke", async () => {
  const name = user;
  const answer = await call(backstage, "/auth/revoke", { sub: name });
  // A gateway that could not be told reads the list each second.
  if (answer.ok && !answer.json.gateway_told) await new Promise((resolve) => setTimeout(resolve, 1500));
  const page = await load();
  const locked = page.status === 401 ? "The gateway refuses the token from now on." : told(page);
  say(answer.ok ? `${name} is revoked. ${mode === "with" ? locked : `${told(page)} Nobody asks the auth service.`}` : `The auth service does not revoke ${name}: ${answer.status}.`, !answer.ok || !page.ok);
});

// The gateway fetches the keys again for one that it does not know, once in this time.
const rotation = 31000;
const rotatedAt = () => Number(sessionStorage.getItem("rotated") ?? 0);
const untilRotation = () => Math.ceil((rotatedAt() + rotation - Date.now()) / 1000);

/** Shows how long the button has to wait. */
function countDown() {
  const wait = untilRotation();
  by("rotate").setAttribute("aria-disabled", String(wait > 0));
  by("rotate").textContent = wait > 0 ? `Rotate the key (in ${wait} s)` : "Rotate the key";
  if (wait > 0) setTimeout(countDown, 500);
}

on("rotate", async () => {
  if (untilRotation() > 0) {
    say(`Please wait ${untilRotation()} s: the gateway looks for an unknown key at most every 30 s, so a newer one would not be accepted yet.`);
    return;
  }
  const before = by("public").querySelector("dd")?.textContent.slice(0, 6);
  await call(backstage, "/auth/rotate", {});
  const renewed = await call(backstage, "/auth/renew", {});
  const page = await load();
  const after = by("public").querySelector("dd")?.textContent.slice(0, 6);
  say(renewed.ok ? `Key ${before} was replaced by ${after}, and your token by one that it signs. ${told(page)}` : "The auth service does not renew this token.", !renewed.ok || !page.ok);
  sessionStorage.setItem("rotated", Date.now());
  countDown();
});

on("users", async (button) => {
  const stop = button.textContent.startsWith("Stop");
  await call(backstage, "/users/fault", { kind: stop ? "down" : "none" });
  const page = await load();
  say(stop ? `The user service is down. ${told(page)}${page.ok && mode === "with" ? " The gateway knows this user." : ""}` : `The user service is back. ${told(page)}`, !page.ok);
});

for (const radio of document.querySelectorAll("input[name=mode]")) {
  radio.addEventListener("change", async () => {
    mode = radio.value;
    const page = await load();
    say(page.ok ? (mode === "with" ? "One signature to verify for each service, nobody to ask." : "Every service verifies the access token and asks the user service.") : told(page), !page.ok);
  });
}

// Somebody may have logged out everywhere meanwhile, in another tab or browser.
document.addEventListener("visibilitychange", async () => {
  if (document.hidden || mode === "without" || !user) return;
  const answer = await call("", "/views");
  if (answer.status !== 401) return;
  await load();
  say("You were logged out elsewhere.", true);
});

// What the browser kept of a form would not be what is shown.
document.querySelector("input[value=with]").checked = true;
countDown();
await load();
