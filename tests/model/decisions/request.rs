//! Requests and tokens at random, most of them nearly right.

use serde_json::{Map, Value, json};

use super::super::json::{exact, written};
use super::super::options;
use super::super::support::{KEY_A, KEY_B, START};
use super::Dice;
use super::configuration::{
    CLAIMS, CLIENTS, HOSTS, METHODS, MODES, PROVIDERS, SCOPES, SEGMENTS, VALUES, claim_value,
};

/// A public token, before it is signed.
#[derive(Clone, Debug)]
pub struct Token {
    /// The issuer's key that signs: 0 or 1.
    pub key: usize,
    pub header: Value,
    pub claims: Value,
    /// Whether a bit of the signature is flipped.
    pub tampered: bool,
}

impl Token {
    pub fn text(&self) -> String {
        let key = if self.key == 0 { &KEY_A } else { &KEY_B };
        let mut text =
            key.sign(self.header.to_string().as_bytes(), written(&self.claims).as_bytes());
        if self.tampered {
            let last = if text.ends_with('A') { "Q" } else { "A" };
            text.replace_range(text.len() - 1.., last);
        }
        text
    }
}

/// What a client sends: fields with `{token}` where the token is, or in several cookies
/// its pieces `{token 1}` to `{token 3}`.
#[derive(Clone, Debug)]
pub struct Request {
    pub fields: Vec<(String, String)>,
    pub token: Token,
}

impl Request {
    /// The fields as they are sent.
    pub fn sent(&self) -> Vec<(String, String)> {
        self.fields.iter().map(|(name, value)| (name.clone(), self.filled(value))).collect()
    }

    /// A value with the token in its places. It is cut somewhere in its header.
    pub fn filled(&self, value: &str) -> String {
        let token = self.token.text();
        let first = 1 + self.fields.iter().map(|(_, value)| value.len()).sum::<usize>() % 40;
        let (one, rest) = token.split_at(first.min(token.len()));
        let (two, three) = rest.split_at(rest.len() / 2);
        let pieces = [("{token 1}", one), ("{token 2}", two), ("{token 3}", three)];
        let whole = value.replace("{token}", &token);
        pieces.into_iter().fold(whole, |value, (place, piece)| value.replace(place, piece))
    }
}

/// Climbs that are seen only after another decoding, or by some servers.
const CLIMBS: [&str; 6] = [
    "/%252e%252e/admin",
    "/..%252fadmin",
    "/..%20/admin",
    "/.../admin",
    "/%c0%ae%c0%ae/admin",
    "/..%ef%bc%8fapi",
];

/// A request to a gateway with this many providers.
pub fn request(dice: &mut Dice, providers: usize) -> Request {
    let mut fields: Vec<(&str, String)> = Vec::new();
    let mut method = dice.pick(&METHODS).to_owned();
    if dice.chance(12) {
        method = "OPTIONS".to_owned();
        fields.push(("origin", "https://app.example".into()));
        let wanted = dice.pick(&["PUT", "", "get out", "GET, PUT"]);
        fields.push(("access-control-request-method", wanted.into()));
        if dice.chance(3) {
            let bodies = [
                ("content-length", "5"),
                ("content-length", "0"),
                ("transfer-encoding", "chunked"),
            ];
            let (name, value) = dice.pick(&bodies);
            fields.push((name, value.into()));
        }
    } else if dice.chance(20) {
        method = method.to_lowercase();
    }
    let mut path: String =
        (0..=dice.below(3)).map(|_| format!("/{}", dice.pick(&SEGMENTS))).collect();
    path = match dice.below(60) {
        0 => format!("{path}/"),
        1 => path.replace('a', "%61"),
        2 => format!("{path}/%2e%2e/a"),
        3 => format!("{path}//a"),
        4 => format!("{path}/../a"),
        5 => format!("{path}%2Fa"),
        6 => format!("{path};x/a"),
        7 => format!("{path}%5Ca"),
        8..12 => format!("{path}{}", dice.pick(&CLIMBS)),
        _ => path,
    };
    if dice.chance(4) {
        path.push_str("?page=2");
    }
    match dice.below(20) {
        0 => {}
        // A token that is too long for one cookie, in any order.
        12 => {
            let cookies = "session_2={token 3}; session={token 1}; a=b; session_1={token 2}";
            fields.push(("cookie", cookies.into()));
        }
        1 | 11 => fields.push(("cookie", "a=b; session={token}; c=d".into())),
        2 | 13 => path.push_str(if path.contains('?') {
            "&access_token={token}"
        } else {
            "?access_token={token}"
        }),
        3 => fields.push(("x-token", "{token}".into())),
        4 => fields.push(("authorization", "Basic dTpw".into())),
        5 => {
            fields.push(("authorization", "bEaReR {token}".into()));
            fields.push(("cookie", "session={token}".into()));
        }
        _ => fields.push(("authorization", "Bearer {token}".into())),
    }
    let origin = dice.below(12);
    let by_origin = [
        ("origin", "https://app.example"),
        ("origin", "https://evil.example"),
        ("origin", "https://shop.example"),
        ("sec-fetch-site", "same-origin"),
        ("sec-fetch-site", "same-site"),
    ];
    if let Some((name, value)) = by_origin.get(origin).filter(|_| method != "OPTIONS") {
        fields.push((name, (*value).into()));
    }
    if dice.chance(12) {
        fields.push(("connection", "Upgrade".into()));
        fields.push(("upgrade", dice.pick(&["websocket", "h2c"]).into()));
    }
    for name in MODES {
        if dice.chance(3) {
            let list = format!("{}, {}", dice.pick(&VALUES), dice.pick(&VALUES));
            let value = if dice.chance(8) { list } else { dice.pick(&VALUES).into() };
            fields.push((name, value));
        }
    }
    forged(dice, &mut fields);
    if dice.chance(12) {
        fields.push(("referer", "https://shop.example/a?access_token={token}&b=1".into()));
    }
    if dice.chance(3) {
        fields.push(("accept", "text/html,*/*;q=0.8".into()));
    }
    let host = dice.pick(&HOSTS);
    let host = match dice.below(6) {
        0 => format!("{host}:8443"),
        1 => host.to_uppercase(),
        _ => host.to_owned(),
    };
    let pseudo = [(":method", method), (":path", path), (":authority", host)];
    let fields = pseudo.into_iter().chain(fields);
    let fields = fields.map(|(name, value)| (name.to_owned(), value)).collect();
    Request { fields, token: token(dice, providers) }
}

/// What clients may not say, in several spellings.
fn forged(dice: &mut Dice, fields: &mut Vec<(&str, String)>) {
    let names = [
        "X-Consumer-ID",
        "x_consumer_groups",
        "X-Identity-Token",
        "x-anonymous-consumer",
        "X-User_Country",
        "x-credential-identifier",
        "txn-token",
    ];
    let odd = ["x.consumer.groups", "x-consumer~id", "X!Identity!Token"];
    if dice.chance(3) {
        fields.push((dice.pick(&names), "forged".into()));
    }
    if dice.chance(4) {
        fields.push((dice.pick(&odd), "forged".into()));
    }
}

fn token(dice: &mut Dice, providers: usize) -> Token {
    let provider = if dice.chance(20) { dice.below(3) } else { dice.below(providers) };
    let key = usize::from(provider == 1);
    let key = if dice.chance(25) { 1 - key } else { key };
    let mut header = json!({"alg": "EdDSA", "kid": "k"});
    match dice.below(10) {
        0 => {}
        1 | 6 | 7 => header["typ"] = "at+jwt".into(),
        2 if dice.chance(3) => {
            header["typ"] = dice.pick(&["shop+jwt", "shop+jwt", "logout+jwt"]).into()
        }
        3 if dice.chance(4) => header["typ"] = "identity+jwt".into(),
        4 if dice.chance(4) => header["kid"] = "other".into(),
        5 if dice.chance(4) => header["crit"] = json!(["exp"]),
        _ => header["typ"] = "JWT".into(),
    }
    let audiences = ["shop-api", "partner-api", "web-api", "nobody"];
    let mut claims = json!({
        "iss": PROVIDERS[provider].1,
        "sub": dice.pick(&["alice", "bob", "max müller/ö"]),
        "aud": dice.pick(&audiences),
        "iat": START - 100,
        "exp": START + dice.pick(&[30, 600, 3500, 3600, 8000]),
    });
    if !dice.chance(4) {
        claims["aud"] = dice.some(&audiences, 2).into();
    }
    spoil(dice, &mut claims);
    if dice.chance(2) {
        claims["azp"] = dice.pick(&CLIENTS).into();
    }
    if dice.chance(4) {
        claims["client_id"] = dice.pick(&["app", "nobody"]).into();
    }
    let scopes = dice.some(&SCOPES, 0);
    match dice.below(5) {
        0 => {}
        1 => claims["scp"] = scopes.into(),
        2 => claims["scopes"] = scopes.join(" ").into(),
        _ => claims["scope"] = scopes.join(" ").into(),
    }
    for name in CLAIMS {
        if dice.chance(2) {
            put(dice, &mut claims, name);
        }
    }
    if dice.chance(4) {
        claims["country"] = claim_value(dice);
        claims["realm"]["client"] = dice.pick(&CLIENTS).into();
    }
    if dice.chance(6) && (options::TWO_USERNAMES || dice.chance(2)) {
        // The second is a consumer's, in another case.
        let name = dice.pick(&["al%", "WEB für alle, 100%"]);
        claims[dice.pick(&["preferred_username", "username"])] = name.into();
    }
    Token { key, header, claims, tampered: dice.chance(40) }
}

/// A claim, plainly or inside of another one, or both.
fn put(dice: &mut Dice, claims: &mut Value, name: &str) {
    let value = match dice.below(4) {
        0 => (0..dice.below(3)).map(|_| claim_value(dice)).collect(),
        _ => claim_value(dice),
    };
    let value = if value.as_array().is_some_and(|items| items.iter().any(Value::is_null)) {
        json!(["acme"])
    } else {
        value
    };
    match name.split_once('.') {
        Some((outer, inner)) if !dice.chance(3) => claims[outer][inner] = value,
        _ => claims[name] = value,
    }
}

fn spoil(dice: &mut Dice, claims: &mut Value) {
    let object = claims.as_object_mut().expect("claims");
    match dice.below(60) {
        0 => drop(object.remove("exp")),
        1 => drop(object.remove("sub")),
        2 => drop(object.insert("sub".into(), "".into())),
        3 => drop(object.insert("iss".into(), "https://nobody.example".into())),
        4 => drop(object.remove("iat")),
        5 => drop(object.insert("exp".into(), (START - 400).into())),
        6 => drop(object.insert("nbf".into(), (START + 400).into())),
        7 => drop(object.insert("cnf".into(), json!({"jkt": "x"}))),
        8 => drop(object.remove("aud")),
        9 if options::ENDED_WITHIN_SKEW => drop(object.insert("exp".into(), (START - 10).into())),
        10 => drop(object.insert("nbf".into(), (START + 20).into())),
        11 if options::EXACT_NUMBERS => {
            drop(object.insert("tenant".into(), exact("123456789012345678902")));
        }
        _ => {}
    }
}

/// What the user service says of a path: a status and a body.
pub fn user_reply(dice: &mut Dice, subject: &str) -> (u16, Value) {
    let mut reply = Map::new();
    if !(options::REPLIES_WITHOUT_SUBJECT && dice.chance(10)) {
        let other = if dice.chance(12) { "mallory" } else { subject };
        reply.insert("sub".into(), other.into());
        reply.insert("user".into(), json!({"id": other}));
    }
    if !dice.chance(4) {
        reply.insert("address".into(), json!({"country": dice.pick(&["ES", "acme", "JP"])}));
    }
    if !dice.chance(3) {
        reply.insert("nick".into(), dice.pick(&["al", "b,c", "app für ALLE, 100%"]).into());
    }
    for name in ["type", "level", "blocked", "role"] {
        if !dice.chance(3) {
            reply.insert(name.into(), claim_value(dice));
        }
    }
    let status = match dice.below(10) {
        0 => 404,
        1 => 500,
        _ => 200,
    };
    (status, reply.into())
}
