//! The ways in which a service fails.

use std::io;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::sleep;

/// How long the gateway waits for a service that may fail.
pub const TIME_OUT: Duration = Duration::from_secs(2);

/// What a service does instead of giving the right answer at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fault {
    /// Nobody listens.
    Refused,
    /// The proxy has no such cluster: it was taken away.
    Vanished,
    /// RST in the place of an answer.
    Reset,
    /// FIN in the place of an answer.
    Closed,
    /// RST in the middle of the head.
    CutHead,
    /// RST in the middle of the body.
    ResetMidBody,
    /// FIN before the body is as long as announced.
    Truncated,
    /// FIN between two chunks.
    ChunksEnd,
    /// Another protocol.
    NoHttp,
    /// Nothing, for longer than anybody waits.
    Hang,
    /// A head and half a body, then nothing.
    HangMidBody,
    /// The right answer, so slowly that time is out long before its end.
    Drip,
    /// The right answer after a quarter of the time-out.
    SlowQuarter,
    /// The right answer after twice the time-out.
    SlowDouble,
    /// 100, then the right answer.
    Continue,
    /// 103, then the right answer.
    EarlyHints,
    /// 101, which nobody asked for.
    SwitchingProtocols,
    /// Another status with a body that looks right; 206 has half of it.
    Status(u16),
    /// A body of no bytes.
    Empty,
    /// The first half of the right JSON.
    HalfJson,
    /// A page for people.
    Html,
    /// The right JSON, called a page for people.
    OtherMediaType,
    /// The right object inside an array.
    Array,
    /// The right JSON with a byte that is no UTF-8.
    NotUtf8,
    /// The right JSON and a megabyte more.
    Huge,
    /// The right JSON and 500 arrays within each other.
    Deep,
    /// An object with a member twice.
    Repeated,
    /// The right answer under 200 header fields.
    ManyFields,
    /// An object without the member that matters.
    Incomplete,
    /// An object whose member that matters has another type.
    OtherType,
    /// Somebody else's record.
    OfAnother,
}

impl Fault {
    pub const ALL: [Self; 44] = [
        Self::Refused,
        Self::Vanished,
        Self::Reset,
        Self::Closed,
        Self::CutHead,
        Self::ResetMidBody,
        Self::Truncated,
        Self::ChunksEnd,
        Self::NoHttp,
        Self::Hang,
        Self::HangMidBody,
        Self::Drip,
        Self::SlowQuarter,
        Self::SlowDouble,
        Self::Continue,
        Self::EarlyHints,
        Self::SwitchingProtocols,
        Self::Status(203),
        Self::Status(204),
        Self::Status(206),
        Self::Status(301),
        Self::Status(302),
        Self::Status(304),
        Self::Status(400),
        Self::Status(401),
        Self::Status(403),
        Self::Status(404),
        Self::Status(410),
        Self::Status(429),
        Self::Status(500),
        Self::Status(502),
        Self::Status(503),
        Self::Empty,
        Self::HalfJson,
        Self::Html,
        Self::OtherMediaType,
        Self::Array,
        Self::NotUtf8,
        Self::Huge,
        Self::Deep,
        Self::Repeated,
        Self::ManyFields,
        Self::Incomplete,
        Self::OtherType,
    ];

    /// Fit for a path, a subject and a reference token.
    pub fn name(self) -> String {
        match self {
            Self::Status(status) => format!("Status{status}"),
            other => format!("{other:?}"),
        }
    }

    /// Whether requests wait for it.
    pub const fn is_slow(self) -> bool {
        matches!(
            self,
            Self::Hang | Self::HangMidBody | Self::Drip | Self::SlowQuarter | Self::SlowDouble
        )
    }

    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().chain([Self::OfAnother]).find(|fault| fault.name() == name)
    }
}

/// The right answer, and what of it matters.
pub struct Right {
    pub body: Value,
    pub main_member: &'static str,
    /// Where it says whose it is, if it does.
    pub owner_member: &'static str,
    /// Where a redirect leads.
    pub location: String,
}

/// What becomes of a connection.
pub enum End {
    GoesOn,
    Closes,
    Resets,
}

const JSON: &str = "application/json";

fn head(status: u16, media_type: &str, length: usize) -> String {
    format!(
        "HTTP/1.1 {status} Whatever\r\ncontent-type: {media_type}\r\ncontent-length: {length}\r\n"
    )
}

fn reply(status: u16, media_type: &str, body: impl AsRef<[u8]>) -> Vec<u8> {
    let body = body.as_ref();
    [head(status, media_type, body.len()).as_bytes(), b"\r\n", body].concat()
}

impl Right {
    pub fn reply(&self) -> Vec<u8> {
        reply(200, JSON, self.body.to_string())
    }

    fn with(&self, member: &str, value: Value) -> String {
        let mut body = self.body.clone();
        body[member] = value;
        body.to_string()
    }

    fn half(&self) -> String {
        let body = self.body.to_string();
        body[..body.len() / 2].to_owned()
    }
}

impl Fault {
    /// Answers a request wrongly.
    pub async fn answer(self, stream: &mut TcpStream, right: &Right) -> io::Result<End> {
        let whole = right.body.to_string();
        let announced = [head(200, JSON, whole.len()), right.half()].join("\r\n").into_bytes();
        let (bytes, end) = match self {
            // Nobody gets as far as this.
            Self::Refused | Self::Vanished => return Err(io::ErrorKind::Unsupported.into()),
            Self::Reset => (Vec::new(), End::Resets),
            Self::Closed => (Vec::new(), End::Closes),
            Self::CutHead => (b"HTTP/1.1 200 OK\r\ncontent-ty".to_vec(), End::Resets),
            Self::ResetMidBody => (announced, End::Resets),
            Self::Truncated => (announced, End::Closes),
            Self::ChunksEnd => {
                let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n";
                let chunk = format!("{head}\r\n{:x}\r\n{whole}\r\n", whole.len());
                (chunk.into_bytes(), End::Closes)
            }
            Self::NoHttp => (b"SSH-2.0-OpenSSH_9.6\r\n".to_vec(), End::Closes),
            Self::Hang => return hang().await,
            Self::HangMidBody => {
                stream.write_all(&announced).await?;
                return hang().await;
            }
            Self::Drip => {
                for byte in right.reply() {
                    stream.write_all(&[byte]).await?;
                    sleep(TIME_OUT / 20).await;
                }
                return Ok(End::GoesOn);
            }
            Self::SlowQuarter => {
                // Keys count from when they were asked for, and some are to end after a second.
                sleep(TIME_OUT / 4).await;
                (right.reply(), End::GoesOn)
            }
            Self::SlowDouble => {
                sleep(TIME_OUT * 2).await;
                (right.reply(), End::GoesOn)
            }
            Self::Continue => (interim("100 Continue", right), End::GoesOn),
            Self::EarlyHints => {
                (interim("103 Early Hints\r\nlink: </style.css>", right), End::GoesOn)
            }
            Self::SwitchingProtocols => {
                let upgrade = "connection: upgrade\r\nupgrade: websocket";
                (interim(&format!("101 Switching Protocols\r\n{upgrade}"), right), End::GoesOn)
            }
            Self::Status(status @ (204 | 304)) => {
                (format!("HTTP/1.1 {status} Whatever\r\n\r\n").into_bytes(), End::GoesOn)
            }
            Self::Status(206) => (reply(206, JSON, right.half()), End::GoesOn),
            Self::Status(status @ 300..=399) => {
                let head = head(status, JSON, whole.len());
                let location = &right.location;
                (format!("{head}location: {location}\r\n\r\n{whole}").into_bytes(), End::GoesOn)
            }
            Self::Status(status) => (reply(status, JSON, &whole), End::GoesOn),
            Self::Empty => (reply(200, JSON, ""), End::GoesOn),
            Self::HalfJson => (reply(200, JSON, right.half()), End::GoesOn),
            Self::Html => (reply(200, "text/html", "<p>We are sorry"), End::GoesOn),
            Self::OtherMediaType => (reply(200, "text/html", &whole), End::GoesOn),
            Self::Array => (reply(200, JSON, json!([right.body]).to_string()), End::GoesOn),
            Self::NotUtf8 => {
                let spoilt = right.with("padding", json!("@")).into_bytes();
                let spoilt = spoilt.into_iter().map(|byte| if byte == b'@' { 0xff } else { byte });
                (reply(200, JSON, spoilt.collect::<Vec<_>>()), End::GoesOn)
            }
            Self::Huge => {
                let padded = right.with("padding", json!("x".repeat(1 << 20)));
                (reply(200, JSON, padded), End::GoesOn)
            }
            Self::Deep => {
                let nested = format!(r#""padding":{}{}"#, "[".repeat(500), "]".repeat(500));
                (reply(200, JSON, whole.replacen('{', &format!("{{{nested},"), 1)), End::GoesOn)
            }
            Self::Repeated => {
                let member = format!("{:?}:{}", right.main_member, right.body[right.main_member]);
                (reply(200, JSON, whole.replacen('{', &format!("{{{member},"), 1)), End::GoesOn)
            }
            Self::ManyFields => {
                let fields: String = (0..200).map(|n| format!("x-field-{n}: {n}\r\n")).collect();
                let head = head(200, JSON, whole.len());
                (format!("{head}{fields}\r\n{whole}").into_bytes(), End::GoesOn)
            }
            Self::Incomplete => {
                let mut body = right.body.clone();
                body.as_object_mut().unwrap().remove(right.main_member);
                (reply(200, JSON, body.to_string()), End::GoesOn)
            }
            Self::OtherType => {
                // The text "true" for true, and so on; nothing for a text.
                let other = match &right.body[right.main_member] {
                    Value::String(_) => Value::Null,
                    other => json!(other.to_string()),
                };
                (reply(200, JSON, right.with(right.main_member, other)), End::GoesOn)
            }
            Self::OfAnother => {
                let other = json!("https://mallory.example");
                (reply(200, JSON, right.with(right.owner_member, other)), End::GoesOn)
            }
        };
        stream.write_all(&bytes).await?;
        if matches!(end, End::Resets) {
            // What was written shall arrive before the reset.
            sleep(Duration::from_millis(20)).await;
        }
        Ok(end)
    }
}

async fn hang() -> io::Result<End> {
    sleep(TIME_OUT * 60).await;
    Ok(End::Closes)
}

fn interim(status: &str, right: &Right) -> Vec<u8> {
    [format!("HTTP/1.1 {status}\r\n\r\n").into_bytes(), right.reply()].concat()
}
