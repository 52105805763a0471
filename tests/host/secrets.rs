//! What must never show up in a log line or an error: gathered as it passes by.
//!
//! A scenario declares nothing: whatever looks like a credential in what the
//! client sends, in the environment, in a callout and in what the upstream
//! receives is remembered, and every log line and every answer of the filter is
//! searched for it at the end, and the name of every metric.

use super::abi::Pairs;
use super::exchange::Outcome;
use super::fake::FakeHost;

/// Shorter words are names, not credentials.
const SHORTEST: usize = 20;

impl FakeHost {
    /// Remembers the values of an environment variable, line by line (PEM).
    pub fn keep_secret(&mut self, text: &str) {
        let lines = text.lines().map(str::trim).filter(|line| line.len() >= 8);
        self.secrets.extend(lines.map(str::to_owned));
    }

    /// Remembers the words of these headers. A request id is there to be
    /// logged, an entity tag to be answered.
    pub fn keep_secrets_of(&mut self, headers: &Pairs) {
        for (name, value) in headers {
            if ["x-request-id", "if-none-match"].contains(&name.to_ascii_lowercase().as_str()) {
                continue;
            }
            let text = String::from_utf8_lossy(value);
            let is_token = |c: char| c.is_ascii_alphanumeric() || "-_.~+=".contains(c);
            let words = text.split(|c| !is_token(c)).flat_map(|word| [word, after_equals(word)]);
            self.secrets.extend(words.filter(|word| word.len() >= SHORTEST).map(str::to_owned));
        }
    }

    /// Where something leaked; the lines themselves are in the log. A sealed
    /// token is a secret that an answer may hold: the one that issues it.
    pub fn leaks(&self) -> Vec<String> {
        let lines = self.logs.iter().map(|line| ("a log line", line.text.clone()));
        let metrics = self.metrics.values.keys().map(|name| ("a metric", name.clone()));
        let answers = self.streams.values().filter_map(|stream| match &stream.outcome {
            Outcome::Replied(response) => {
                let headers = response.headers.iter();
                let values = headers.map(|(_, value)| String::from_utf8_lossy(value).into_owned());
                Some(("an answer", values.chain([response.text()]).collect::<String>()))
            }
            _ => None,
        });
        let leaks = lines.chain(metrics).chain(answers).filter(|(place, text)| {
            let is_given = |secret: &str| *place == "an answer" && secret.contains("gps_");
            let shows = |secret: &String| text.contains(secret) && !is_given(secret);
            // The start of a JSON object in base64url: a token, or a piece of one. In a
            // sealed one the three letters come by chance.
            let is_word = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
            let mut words = text.split(|c| !is_word(c)).filter(|word| !word.starts_with("gps_"));
            words.any(|word| word.contains("eyJ")) || self.secrets.iter().any(shows)
        });
        leaks.map(|(place, text)| format!("{place} holds a secret: {text}")).collect()
    }
}

/// The value of a cookie or a parameter.
fn after_equals(word: &str) -> &str {
    word.split_once('=').map_or(word, |(_, value)| value)
}
