//! The links of a page.

/// The lines of a page that are not code.
pub fn prose(page: &str) -> Vec<&str> {
    let mut is_code = false;
    let is_prose = |line: &&str| {
        let is_fence = line.trim_start().starts_with("```");
        is_code ^= is_fence;
        !is_code && !is_fence
    };
    page.lines().filter(is_prose).collect()
}

/// The links to other files and to headings: the file, and the heading's anchor.
pub fn links(page: &str) -> Vec<(&str, &str)> {
    let links = prose(page).into_iter().flat_map(|line| line.split("](").skip(1));
    let links = links.filter_map(|rest| rest.split(')').next());
    let links = links.filter(|link| !link.starts_with("http"));
    links.map(|link| link.split_once('#').unwrap_or((link, ""))).collect()
}
