//! The manual is written in the words of the field, and in a form that every renderer reads.

use super::{pages, prose, read};

/// Words that an engineer of another company would stop at, and those to write instead.
const WORDS: [(&str, &str); 23] = [
    ("time-out", "timeout"),
    ("whoever", "anyone who"),
    ("in vain", "without success"),
    ("to be had", "available"),
    ("for want of", "for lack of"),
    ("as ever", "as usual"),
    ("made up", "generated"),
    ("called back", "revoked"),
    ("nobody shall", "so that nobody"),
    ("is no valid", "is not a valid"),
    ("are no valid", "are not valid"),
    ("is told apart", "is distinguished"),
    ("native door", "native module"),
    ("lets nobody", "rejects"),
    ("nobody passes", "every request is denied"),
    ("for nobody", "denied"),
    ("anybody", "anyone"),
    ("for ever", "forever"),
    ("made-up", "invented"),
    ("mended", "fixed"),
    ("heeds", "knows"),
    ("both doors", "filter and native module"),
    ("on your desk", "on your machine"),
];

/// Whether these words are in the text, not only the beginning of others.
fn holds(text: &str, words: &str) -> bool {
    let mut parts = text.split(words);
    let mut before = parts.next().unwrap_or_default();
    for after in parts {
        let is_end = |letter: Option<char>| !letter.is_some_and(char::is_alphabetic);
        if is_end(before.chars().last()) && is_end(after.chars().next()) {
            return true;
        }
        before = after;
    }
    false
}

/// The pages that the manual leads to.
fn beside() -> impl Iterator<Item = String> {
    let pages = ["SECURITY", "kong/README", "examples/mcp/README", "examples/operations/README"];
    pages.into_iter().chain(["examples/revocation-feed/README"]).map(|page| format!("{page}.md"))
}

#[test]
fn words_of_the_field() {
    let mut found = Vec::new();
    for page in pages().into_iter().chain(beside()) {
        let text = read(&page);
        for line in prose(&text) {
            let lower = format!(" {} ", line.to_lowercase());
            for (word, better) in WORDS.iter().filter(|(word, _)| holds(&lower, word)) {
                found.push(format!("{page}: \"{word}\", better \"{better}\": {line}"));
            }
        }
    }
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn no_word_twice() {
    let mut found = Vec::new();
    for page in pages() {
        let text = read(&page);
        let lines = prose(&text).into_iter().filter(|line| !line.starts_with('#'));
        let text = lines.collect::<Vec<_>>().join("\n");
        let words: Vec<_> = text.split_whitespace().collect();
        for pair in words.windows(2) {
            let is_word = pair[0].chars().all(|letter| letter.is_ascii_alphabetic());
            if is_word && pair[0].eq_ignore_ascii_case(pair[1]) {
                found.push(format!("{page}: {} {}", pair[0], pair[1]));
            }
        }
    }
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn headings_and_lines() {
    for page in pages() {
        let text = read(&page);
        assert!(text.starts_with("# "), "{page}: begins with its title");
        assert!(text.ends_with('\n') && !text.ends_with("\n\n"), "{page}: ends with its last line");
        let lines = prose(&text);
        let titles = lines.iter().filter(|line| line.starts_with("# ")).count();
        assert_eq!(titles, 1, "{page}: one title");
        let mut level = 1;
        for line in lines {
            let depth = line.chars().take_while(|letter| *letter == '#').count();
            if depth > 0 && line[depth..].starts_with(' ') {
                assert!(depth <= level + 1, "{page}: {line} skips a level");
                level = depth;
            }
            assert!(!line.ends_with(' ') && !line.contains('\t'), "{page}: blanks: {line}");
            let is_long = line.chars().count() > 120 && line.contains(' ');
            let may_be = line.starts_with(['|', '!', '<']) || line.trim_start().starts_with('|');
            assert!(!is_long || may_be, "{page}: a line too long to review: {line}");
        }
    }
}

/// A table has as many cells in each row as in its head.
#[test]
fn tables() {
    for page in pages() {
        let text = read(&page);
        let mut cells = None;
        for line in prose(&text) {
            if !line.starts_with('|') {
                cells = None;
                continue;
            }
            let count = line.replace("\\|", "").matches('|').count();
            assert_eq!(*cells.get_or_insert(count), count, "{page}: {line}");
        }
    }
}
