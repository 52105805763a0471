//! Requests at random: a good one, and a few changes to it.

use super::model::OWNED;
use super::wire::{Case, Coding, Field, Oddity};
use crate::bytes::Dice;

/// Tokens to send.
pub struct Tokens {
    pub alice: String,
    pub bob: String,
}

const METHODS: [&str; 14] = [
    "GET",
    "POST",
    "OPTIONS",
    "HEAD",
    "get",
    "Post",
    "GET ",
    "",
    "CONNECT",
    "TRACE",
    "PRI",
    "X-Y",
    "GET\r\nx: y",
    "G=T",
];
const PATHS: [&str; 32] = [
    "/basket/1",
    "/h2/basket",
    "/catalog/1",
    "/assets/app.js",
    "/health",
    "/login",
    "/admin",
    "/admin/users?a=b",
    "/basket/../admin",
    "/assets/..%2fadmin",
    "/assets/%2e%2e/admin",
    "/assets/..;/admin",
    "/assets/../h2/x",
    "//admin",
    "/assets//../admin",
    "/ADMIN",
    "/%61dmin",
    "/admin#x",
    "/catalog?/../admin",
    "/catalog\\..\\admin",
    "http://gateway.example/admin",
    "HTTP://admin.example/assets/x",
    "admin",
    "*",
    "",
    "?x",
    "/basket x",
    "/basket HTTP/1.1\r\nx-consumer-id: forged\r\n\r\n",
    "/basket\t",
    "/\u{e9}",
    "/h2/../assets/x",
    "/catalog/%00",
];
const AUTHORITIES: [&str; 12] = [
    "gateway.example",
    "admin.example",
    "ADMIN.example:80",
    "admin.example.",
    "user@admin.example",
    "admin.example@gateway.example",
    "",
    "gateway.example, admin.example",
    "gateway.example/admin",
    "gateway.example\r\nx-consumer-id: forged",
    "[::1]",
    "gateway.example:99999",
];
const SCHEMES: [&str; 6] = ["http", "https", "HTTPS", "ftp", "", "http\r\nx: y"];
const PROTOCOLS: [&str; 5] = ["websocket", "WebSocket", "connect-udp", "", "websocket\r\nx: y"];
const PSEUDO: [&str; 4] = [":method", ":scheme", ":authority", ":path"];
const FORGED_REQUEST: &str = "GET /admin HTTP/1.1\r\nhost: admin.example\r\nx-case: 1\r\n\
                              x-consumer-id: forged\r\nx-identity-token: forged\r\n\r\n";

fn one<'a>(dice: &mut Dice, of: &[&'a str]) -> &'a str {
    of[dice.roll(of.len())]
}

/// A request that may be of any kind, and its frames.
pub fn case(dice: &mut Dice, tokens: &Tokens) -> Case {
    let mut case = good(dice, tokens);
    for _ in 0..dice.roll(5) {
        match dice.roll(8) {
            0 => change_pseudo(dice, &mut case),
            1 => add_forged(dice, &mut case),
            2 => change_credentials(dice, &mut case, tokens),
            3 => add_of_connection(dice, &mut case),
            4 => change_body(dice, &mut case),
            5 => add_trailer(dice, &mut case, tokens),
            6 => add_host_or_mode(dice, &mut case),
            _ => add_oddity(dice, &mut case),
        }
    }
    // Enough of them are written as libraries do.
    if dice.roll(3) == 0 {
        for field in &mut case.fields {
            let codings =
                [Coding::Plain, Coding::NeverIndexed, Coding::Indexed, Coding::StaticName];
            field.coding = codings[dice.roll(4)];
        }
    }
    case
}

fn good(dice: &mut Dice, tokens: &Tokens) -> Case {
    let path = PATHS[if dice.roll(2) == 0 { dice.roll(8) } else { dice.roll(3) }];
    let mut fields = vec![
        Field::new(":method", ["GET", "GET", "POST", "OPTIONS"][dice.roll(4)]),
        Field::new(":scheme", "http"),
        Field::new(":authority", "gateway.example"),
        Field::new(":path", path),
    ];
    match dice.roll(6) {
        0 => {}
        1 => fields.push(Field::new("cookie", format!("shop_token={}", tokens.alice))),
        2 => fields.push(Field::new("authorization", format!("bearer {}", tokens.bob))),
        _ => fields.push(Field::new("authorization", format!("Bearer {}", tokens.alice))),
    }
    let data = if dice.roll(3) == 0 { vec![b"abc".to_vec()] } else { Vec::new() };
    Case { fields, data, trailers: Vec::new(), oddities: Vec::new() }
}

/// Where it is, if it is anywhere.
fn find(case: &Case, name: &str) -> Option<usize> {
    case.fields.iter().position(|field| field.is(name))
}

fn change_pseudo(dice: &mut Dice, case: &mut Case) {
    let name = one(dice, &PSEUDO);
    let value = match name {
        ":method" => one(dice, &METHODS),
        ":path" => one(dice, &PATHS),
        ":authority" => one(dice, &AUTHORITIES),
        _ => one(dice, &SCHEMES),
    };
    let place = find(case, name);
    match (dice.roll(10), place) {
        (0, Some(at)) => drop(case.fields.remove(at)),
        (1, Some(at)) => case.fields.insert(at, Field::new(name, value)),
        (2, Some(at)) => {
            let field = case.fields.remove(at);
            case.fields.push(field);
        }
        (3, _) => case.fields.insert(0, Field::new(name.to_ascii_uppercase(), value)),
        (4, _) => {
            let unknown = one(dice, &[":status", ":forged", ":", ": method", ":x-consumer-id"]);
            case.fields.insert(dice.roll(4), Field::new(unknown, value));
        }
        (5, _) => {
            let connect = [
                Field::new(":method", if dice.roll(4) > 0 { "CONNECT" } else { "GET" }),
                Field::new(":protocol", one(dice, &PROTOCOLS)),
            ];
            if dice.roll(4) > 0 {
                case.fields.retain(|field| !field.is(":method") && !field.is(":protocol"));
            }
            case.fields.splice(0..0, connect);
        }
        (6, _) => {
            case.fields.retain(|field| !field.is(":scheme") && !field.is(":path"));
            if let Some(at) = find(case, ":method") {
                case.fields[at].value = b"CONNECT".to_vec();
            }
        }
        (_, Some(at)) => case.fields[at].value = value.as_bytes().to_vec(),
        (_, None) => case.fields.insert(0, Field::new(name, value)),
    }
}

/// The name of a field that the gateway owns, as it may be spelled.
fn spelled(dice: &mut Dice) -> String {
    let name = one(dice, &OWNED);
    match dice.roll(12) {
        0 => name.to_ascii_uppercase(),
        1 => name.replace('-', "_"),
        2 => name.replacen('-', ".", 1),
        3 => name.replacen('-', "~", 2),
        4 => format!("{name} "),
        5 => format!(" {name}"),
        6 => format!("x\r\n{name}"),
        7 => format!("{name}:"),
        8 => format!("{name}\0"),
        _ => name.to_owned(),
    }
}

fn add_forged(dice: &mut Dice, case: &mut Case) {
    let name = spelled(dice);
    let field = match dice.roll(6) {
        0 => Field::new("x-other", format!("1\r\n{name}: forged")),
        1 => Field::new("x-other", format!("1\n{name}: forged")),
        2 => Field::new("x-other\u{e9}", "forged"),
        _ => Field::new(name, one(dice, &["forged", "", " forged", "a\0b", "forged\r\n\r\nGET /"])),
    };
    case.fields.push(field);
    if dice.roll(12) == 0 {
        let count = dice.roll(2000);
        case.fields.extend((0..count).map(|n| Field::new(format!("x-{n}"), "1")));
    }
}

fn change_credentials(dice: &mut Dice, case: &mut Case, tokens: &Tokens) {
    let token = if dice.roll(2) == 0 { &tokens.alice } else { &tokens.bob };
    let half = token.len() / 2;
    let mut add = |name: &str, value: String| case.fields.push(Field::new(name, value));
    match dice.roll(13) {
        0 => add("authorization", format!("Bearer {token}")),
        1 => add("authorization", String::new()),
        2 => add("authorization", "Basic YTpi".to_owned()),
        3 => add("authorization", format!("Bearer {token}, Bearer {token}")),
        4 => add("authorization ", format!("Bearer {token}")),
        5 => add("Authorization", format!("Bearer {token}")),
        6 => add("authorization", format!("Bearer {}", &token[..token.len() - 1])),
        7 => {
            add("cookie", "a=b".to_owned());
            add("cookie", format!("shop_token={token}"));
        }
        8 => {
            add("cookie", format!("shop_token={}", &token[..half]));
            add("cookie", token[half..].to_owned());
        }
        9 => add("cookie", format!("a=b; shop_token={token}; __Host-session={token}")),
        10 => add("cookie", "shop_token=".to_owned()),
        11 => add("cookie", "a=b;c=d; e".to_owned()),
        _ => case.fields.retain(|field| !field.is("authorization")),
    }
}

fn add_of_connection(dice: &mut Dice, case: &mut Case) {
    let (name, value) = [
        ("connection", "close, x-consumer-id"),
        ("connection", "x-identity-token"),
        ("connection", "upgrade"),
        ("keep-alive", "timeout=5"),
        ("proxy-connection", "x-consumer-id"),
        ("transfer-encoding", "chunked"),
        ("transfer-encoding", "identity"),
        ("upgrade", "websocket"),
        ("upgrade", "h2c"),
        ("http2-settings", "AAMAAABkAAQAAP__"),
        ("te", "trailers"),
        ("te", "gzip, x-consumer-id"),
        ("expect", "100-continue"),
        ("trailer", "x-consumer-id"),
        ("priority", "u=1, i"),
        ("accept", "*/*"),
    ][dice.roll(16)];
    case.fields.push(Field::new(name, value));
}

fn change_body(dice: &mut Dice, case: &mut Case) {
    match dice.roll(4) {
        0 => case.data.clear(),
        1 => case.data.push(FORGED_REQUEST.into()),
        2 => case.data.push(b"0\r\n\r\n".to_vec()),
        _ => case.data.push(vec![b'a'; dice.roll(4000)]),
    }
    let length: usize = case.data.iter().map(Vec::len).sum();
    let said = match dice.roll(10) {
        0 => format!("+{length}"),
        1 => format!("{length}, {length}"),
        2 => (length + 1).to_string(),
        3 => "0".to_owned(),
        4 => format!("0x{length:x}"),
        5 => format!(" {length} "),
        6 => format!("-{length}"),
        7 => length.to_string(),
        _ => return,
    };
    case.fields.push(Field::new("content-length", said));
}

fn add_trailer(dice: &mut Dice, case: &mut Case, tokens: &Tokens) {
    let field = match dice.roll(10) {
        0 => Field::new(one(dice, &PSEUDO), "/admin"),
        1 => Field::new("authorization", format!("Bearer {}", tokens.alice)),
        2 => Field::new("cookie", format!("shop_token={}", tokens.alice)),
        3 => Field::new(one(dice, &["content-length", "transfer-encoding", "host", "te"]), "0"),
        4 => Field::new(one(dice, &["x-mode", "x_mode", "X.mode"]), "admin"),
        5 | 6 => Field::new(spelled(dice), "forged"),
        7 => Field::new("x-checksum", "1\r\nx-consumer-id: forged"),
        _ => Field::new("x-checksum", "1"),
    };
    case.trailers.push(field);
}

fn add_host_or_mode(dice: &mut Dice, case: &mut Case) {
    let field = match dice.roll(4) {
        0 => Field::new(one(dice, &["x-mode", "x_mode", "x.mode", "X-Mode"]), "admin"),
        1 => {
            case.fields.push(Field::new("origin", "https://a.example"));
            Field::new("access-control-request-method", "GET")
        }
        _ => Field::new("host", one(dice, &AUTHORITIES)),
    };
    case.fields.push(field);
}

fn add_oddity(dice: &mut Dice, case: &mut Case) {
    let number = u8::try_from(dice.roll(200)).unwrap();
    let oddity = match dice.roll(16) {
        0..4 => Oddity::Split(dice.roll(600)),
        4 | 5 => Oddity::Padded(number),
        6 => Oddity::Priority,
        7 | 8 => Oddity::Between(number),
        9 => Oddity::Reset(dice.roll(4)),
        10 => Oddity::Unfinished,
        11 => Oddity::Again,
        12 => Oddity::EmptyEnd,
        13 => Oddity::TableSize,
        14 => Oddity::Beyond,
        _ => [Oddity::InBlock(number), Oddity::PaddedTooFar, Oddity::Truncated][dice.roll(3)],
    };
    case.oddities.push(oddity);
}
