//! Compares the rules with an implementation too simple to be wrong: it tries each rule
//! in turn, on whole segments, without an index.

use super::*;

fn head(fields: &[(&str, &str)]) -> RequestHead {
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), value.as_bytes().to_vec());
    RequestHead::new(fields.iter().map(owned))
}

fn get(path: &str) -> RequestHead {
    head(&[(":method", "GET"), (":path", path), (":authority", "shop.example")])
}

fn rule(path: Option<PathPattern>, conditions: Conditions) -> Rule {
    Rule { matcher: Matcher { path, conditions }, access: Access::Bypass, identity: None }
}

fn with_paths(paths: Vec<PathPattern>) -> Vec<Rule> {
    paths.into_iter().map(|path| rule(Some(path), Conditions::default())).collect()
}

fn position(rules: &Rules, head: &RequestHead) -> Result<Option<usize>, &'static str> {
    rules.find(head).map(|found| found.map(|(position, _)| position)).map_err(|it| it.code().name())
}

fn of(rules: Vec<Rule>, allow_ambiguous_paths: bool) -> Rules {
    let paths = PathReaders { allow_ambiguous: allow_ambiguous_paths, ..PathReaders::default() };
    Rules::new(rules, Requirements::default(), paths)
}

fn exact(path: &str) -> PathPattern {
    PathPattern::exact(path).unwrap()
}

fn prefix(path: &str) -> PathPattern {
    PathPattern::prefix(path).unwrap()
}

fn template(path: &str) -> PathPattern {
    PathPattern::template(path).unwrap()
}

#[test]
fn first_match_wins() {
    let mut rules = with_paths(vec![
        exact("/health"),
        prefix("/admin"),
        prefix("/admin/public/"),
        prefix("/caf%C3%A9"),
        template("/users/{id}/orders"),
        template("/users/me/**"),
        exact("/"),
        prefix("/b/"),
    ]);
    rules[0].matcher.conditions.methods = vec!["GET".to_owned()];
    let rules = of(rules, false);
    for (method, path, expected) in [
        ("GET", "/health", Some(0)),
        ("GET", "/health?full=1", Some(0)),
        ("POST", "/health", None),
        ("GET", "/health/", None),
        ("GET", "/admin", Some(1)),
        ("GET", "/admin/public/x", Some(1)),
        ("GET", "/%61dmin/users", Some(1)),
        ("GET", "/administrator", None),
        ("GET", "/caf%C3%A9/menu", Some(3)),
        ("GET", "/users/7/orders", Some(4)),
        ("GET", "/users/a%20b/orders", Some(4)),
        ("GET", "/users/me/orders", Some(4)),
        ("GET", "/users/me/orders/", Some(5)),
        ("GET", "/users/me/", Some(5)),
        ("GET", "/users/me", Some(5)),
        ("GET", "/users/7/orders/", None),
        ("GET", "/users/7/orders/1", None),
        ("GET", "/users/7", None),
        ("GET", "/", Some(6)),
        ("GET", "/b", None),
        ("GET", "/b/", Some(7)),
        ("GET", "/b/c", Some(7)),
        ("OPTIONS", "*", None),
    ] {
        let found = position(&rules, &head(&[(":method", method), (":path", path)]));
        assert_eq!(found, Ok(expected), "{method} {path}");
    }
}

#[test]
fn paths_that_begin_with_a_text() {
    let beginning = |path| PathPattern::beginning(path).unwrap();
    let rules =
        of(with_paths(vec![beginning("/admin"), beginning("/a/b/"), beginning("/caf%C3")]), false);
    for (path, expected) in [
        ("/admin", Some(0)),
        ("/admin/", Some(0)),
        ("/administrator/x", Some(0)),
        ("/%61dmin%2b", Some(0)),
        ("/adm", None),
        ("/x/admin", None),
        ("/a/b", None),
        ("/a/b/", Some(1)),
        ("/a/b/c", Some(1)),
        ("/caf%c3%a9/menu", Some(2)),
    ] {
        assert_eq!(position(&rules, &get(path)), Ok(expected), "{path}");
    }
    assert_eq!(beginning("/"), prefix("/"));
    let lax = of(with_paths(vec![beginning("/admin")]), true);
    for (path, expected) in [
        ("/adminx//y", Ok(Some(0))),
        ("/admin;x", Err("path_ambiguous")),
        ("//x", Err("path_ambiguous")),
        ("/b//x", Ok(None)),
    ] {
        assert_eq!(position(&lax, &get(path)), expected, "{path}");
    }
}

#[test]
fn patterns_that_no_path_has_are_refused() {
    for path in
        ["", "a", "/a//b", "/a/../b", "/./a", "/a;b", "/a\\b", "/a%2Fb", "/a%", "/a?b", "/a#b"]
    {
        assert_eq!(PathPattern::exact(path), Err(InvalidPattern), "{path}");
        assert_eq!(PathPattern::prefix(path), Err(InvalidPattern), "{path}");
        assert_eq!(PathPattern::beginning(path), Err(InvalidPattern), "{path}");
        assert_eq!(PathPattern::template(path), Err(InvalidPattern), "{path}");
    }
    for path in ["/users/{id}", "/users/*", "/**", "/{a", "/a}"] {
        assert_eq!(PathPattern::exact(path), Err(InvalidPattern), "{path} is a template");
        assert_eq!(PathPattern::prefix(path), Err(InvalidPattern), "{path} is a template");
        assert_eq!(PathPattern::beginning(path), Err(InvalidPattern), "{path} is a template");
    }
    for path in [
        "/{}",
        "/{1a}",
        "/{a-b}",
        "/{a=}",
        "/{a=x/*}",
        "/{a=***}",
        "/a{b}",
        "/{a}b",
        "/{a}{b}",
        "/a*",
        "/***",
        "/**/a",
        "/{a=**}/b",
        "/{a}/{a}",
        "/{a",
        "/a}",
        "/{+a}",
        "/{{a}}",
    ] {
        assert_eq!(PathPattern::template(path), Err(InvalidPattern), "{path}");
    }
    assert_eq!(PathPattern::prefix(&"/a".repeat(65)), Err(InvalidPattern), "too deep");
    assert!(PathPattern::prefix(&"/a".repeat(64)).is_ok());
    assert_eq!(template("/{a}/{b=*}/{c=**}"), template("/*/*/**"));
    assert_eq!(template("/a/**"), prefix("/a"));
}

// RFC 3986 section 6.2 (R46)
#[test]
fn ambiguous_paths_are_refused() {
    let rules = of(with_paths(vec![prefix("/login")]), false);
    for path in [
        "/login/../admin",
        "/login/%2e%2e/admin",
        "/login/.%2E/admin",
        "/login/..",
        "/login/./x",
        "//login",
        "/login//x",
        "/login%2f..%2fadmin",
        "/login%5c..%5cadmin",
        "/login\\..\\admin",
        "/login;/../admin",
        "/login%3b/admin",
        "/login%00",
        "/login%0a",
        "/login#/admin",
        "/login%23",
        "/login%",
        "/login%2",
        "/login%zz",
        "/login/%252e%252e/admin",
        "/login/..%252fadmin",
        "/login/%25252e",
        "/login/%25u002e",
        "/%256cogin",
        "/login/..%20/admin",
        "/login/%20../admin",
        "/login/.../admin",
        "/login/%e2%80%8b../admin",
        "/login/..%c2%ad/admin",
        "/login/..%80/admin",
        "/login/%c0%ae%c0%ae/admin",
        "/login/%e0%80%ae%e0%80%ae/admin",
        "/login/%f0%80%80%ae/admin",
        "/login%c0%afadmin",
        "/login%c1%9cadmin",
        "/login/..%ef%bc%8fadmin",
        "/login/%ef%bc%8e%ef%bc%8e/admin",
        "/login/%e2%80%a5/admin",
        "/login/%ef%bc%852e%ef%bc%852e/admin",
        "/login/..%ef%bc%bcadmin",
        "/login/%e2%80%a6/admin",
        "/login/..%ef%bc%9bx/admin",
        "/login%c2%85",
        "/login ",
        "/login HTTP/1.1",
        "login",
        "http://other.example/login",
        "",
    ] {
        assert_eq!(position(&rules, &get(path)), Err("path_ambiguous"), "{path}");
    }
    assert!(Rules::default().find(&get("//")).is_ok(), "no rules, nothing to evade");
    let lax = of(with_paths(vec![prefix("/login")]), true);
    for path in [
        "/login",
        "/login/100%25",
        "/login/100%25%20",
        "/login/caf%C3%A9",
        "/login/caf%E9",
        "/login/m%FCller",
        "/login/...x",
        "/login/.well-known",
        "/login/a..b",
        "/login/to%20be%20continued%E2%80%A6",
        "/login/U.S.",
        "/login/%E4%BD%A0%EF%BC%9F",
    ] {
        assert_eq!(position(&rules, &get(path)), Ok(Some(0)), "{path}");
        assert_eq!(position(&lax, &get(path)), Ok(Some(0)), "{path}, lax");
    }
}

#[test]
fn a_path_that_lenient_readers_take_to_another_rule_is_refused() {
    let paths = vec![prefix("/admin"), template("/users/{id}/keys"), prefix("/wiki")];
    for lax in [false, true] {
        let rules = of(with_paths(paths.clone()), lax);
        for path in [
            // Decoded once more, what follows is a query.
            "/admin%3fx",
            "/admin%3Fx/y",
            "/admin%3f",
            "/users/1/keys%3f",
            // Windows.
            "/admin.",
            "/admin%20",
            "/admin%2e/x",
            "/%20admin",
            "/admin.%20.",
            // Normalized, or invisible characters removed.
            "/%ef%bd%81dmin",
            "/ad%e2%80%8bmin",
            "/admin%c2%ad/x",
            "/admin%ef%bc%8e",
            "/admin%ef%bc%9bx",
            "/admin%e3%80%80",
            "/%e2%80%8b/admin",
            "/users/1/keys.",
            "/users/1%3f/%ef%bd%8beys",
        ] {
            assert_eq!(position(&rules, &get(path)), Err("path_ambiguous"), "{path}");
        }
        for (path, expected) in [
            ("/wiki/Inc.", Some(2)),
            ("/wiki/What%3F", Some(2)),
            ("/wiki/%ef%bc%a1%ef%bc%9f", Some(2)),
            ("/wiki/a%20b", Some(2)),
            ("/What%3F", None),
            ("/users/J.R./keys", Some(1)),
            ("/users/admin./x", None),
        ] {
            assert_eq!(position(&rules, &get(path)), Ok(expected), "{path}");
        }
    }
    let doubly = of(with_paths(paths), true);
    assert_eq!(position(&doubly, &get("/wiki/a%2Fb")), Ok(Some(2)));
    assert_eq!(position(&doubly, &get("/admin./a%2Fb")), Err("path_ambiguous"));
}

#[test]
fn a_path_in_another_case_is_refused_where_that_is_another_rule() {
    let begins = |path| PathPattern::beginning(path).unwrap();
    let paths =
        || vec![prefix("/admin"), template("/Users/{id}/Keys"), begins("/v1/do"), prefix("/wiki")];
    for lax in [false, true] {
        let rules = of(with_paths(paths()), lax);
        for path in [
            "/ADMIN",
            "/Admin/x",
            "/%41dmin",
            "/users/1/keys",
            "/USERS/1/KEYS",
            "/v1/Donate",
            "/V1/do",
            "/WIKI/Main",
            // In two disguises.
            "/ADMIN.",
            "/Admin%3fx",
            "/%ef%bc%a1dmin",
            "/admin::$INDEX_ALLOCATION/x",
            "/Admin:$i30:$INDEX_ALLOCATION",
        ] {
            assert_eq!(position(&rules, &get(path)), Err("path_ambiguous"), "{path}");
        }
        for (path, expected) in [
            ("/admin/Console", Some(0)),
            ("/Users/ALICE/Keys", Some(1)),
            ("/v1/donate/A", Some(2)),
            ("/wiki/Main_Page", Some(3)),
            ("/wiki/Talk:$x", Some(3)),
            ("/v1/users:batchGet", None),
            ("/Other", None),
        ] {
            assert_eq!(position(&rules, &get(path)), Ok(expected), "{path}");
        }
        let readers = PathReaders { allow_ambiguous: lax, are_case_sensitive: true };
        let strict = Rules::new(with_paths(paths()), Requirements::default(), readers);
        assert_eq!(position(&strict, &get("/ADMIN")), Ok(None));
        assert_eq!(position(&strict, &get("/users/1/keys")), Ok(None));
        assert_eq!(position(&strict, &get("/admin.")), Err("path_ambiguous"), "no matter of case");
    }
    let lax = of(with_paths(paths()), true);
    assert_eq!(position(&lax, &get("/ADMIN/a%2Fb")), Err("path_ambiguous"));
    assert_eq!(position(&lax, &get("/wiki/A%2FB")), Ok(Some(3)));
    // A configuration with a rule for each means both.
    let both = of(with_paths(vec![prefix("/api"), prefix("/API"), exact("/Api")]), false);
    for (path, expected) in [("/api/x", Ok(Some(0))), ("/API/x", Ok(Some(1)))] {
        assert_eq!(position(&both, &get(path)), expected, "{path}");
    }
    assert_eq!(position(&both, &get("/Api")), Err("path_ambiguous"), "another kind of rule");
}

#[test]
fn an_ambiguous_path_passes_where_its_start_decides() {
    let mut rules = with_paths(vec![
        prefix("/projects/"),
        exact("/admin"),
        template("/shop/{id}/cart"),
        prefix("/shop"),
    ]);
    rules[1].matcher.conditions.methods = vec!["POST".to_owned()];
    let rules = of(rules, true);
    const REFUSED: Result<Option<usize>, &str> = Err("path_ambiguous");
    for (path, expected) in [
        ("/projects/group%2Fname", Ok(Some(0))),
        ("/projects/a/b;v=1", Ok(Some(0))),
        ("/projects/a//b", Ok(Some(0))),
        ("/projects/a\\b", Ok(Some(0))),
        ("/projects/a%5Cb", Ok(Some(0))),
        ("/projects//x", Ok(Some(0))),
        ("/projects/;x", REFUSED),
        // It may be /shop/x/cart, or not.
        ("/shop/x%2Fcart", REFUSED),
        ("/shop/x;y/cart", REFUSED),
        ("/shop/x/y;z", REFUSED),
        ("/shop/x/y/z;", Ok(Some(3))),
        ("/shop/x/cart/;", REFUSED),
        // It is unclear what it is below.
        ("//projects/x", REFUSED),
        ("/projects;/x", REFUSED),
        ("/projects%2Fx", REFUSED),
        ("/projects\\x", REFUSED),
        ("/projects//", REFUSED),
        // It may lead outside.
        ("/projects/../admin", REFUSED),
        ("/projects/%2e%2e/admin", REFUSED),
        ("/projects/..%2Fadmin", REFUSED),
        ("/projects/a\\..\\admin", REFUSED),
        ("/projects/..;/admin", REFUSED),
        ("/projects/..;x/admin", REFUSED),
        ("/projects/x;/../admin", REFUSED),
        ("/projects//..%20/admin", REFUSED),
        ("/projects//.../admin", REFUSED),
        ("/projects//%252e%252e/admin", REFUSED),
        ("/projects/a%2F%252e%252e", REFUSED),
        ("/projects/a//%00", REFUSED),
        ("/projects/a//%zz", REFUSED),
        ("/projects/a//#", REFUSED),
        ("projects//", REFUSED),
        // No rule applies to anything below.
        ("/other/x//y", Ok(None)),
        ("/admin/x//y", Ok(None)),
        // A rule whose other conditions do not hold does not count.
        ("/admin//", Ok(None)),
    ] {
        assert_eq!(position(&rules, &get(path)), expected, "{path}");
    }
    let everything = of(with_paths(vec![prefix("/")]), true);
    assert_eq!(position(&everything, &get("//x")), Ok(Some(0)), "every path starts with /");
}

fn hosts(patterns: &[&str]) -> Conditions {
    let host = |text: &&str| match text.strip_prefix("*.") {
        Some(parent) => HostPattern::Below(parent.to_owned()),
        None => HostPattern::Exact((*text).to_owned()),
    };
    Conditions { hosts: patterns.iter().map(host).collect(), ..Conditions::default() }
}

#[test]
fn hosts_are_matched_as_the_upstream_sees_them() {
    let patterns = ["api.example.com", "*.shop.example", "[::1]"];
    let rules = of(vec![rule(None, hosts(&patterns))], false);
    const AMBIGUOUS: Result<Option<usize>, &str> = Err("host_ambiguous");
    for (host, expected) in [
        ("api.example.com", Ok(Some(0))),
        ("API.Example.COM", Ok(Some(0))),
        ("api.example.com:8443", Ok(Some(0))),
        ("api.example.com:", Ok(Some(0))),
        ("api.example.com.", Ok(Some(0))),
        ("api.example.com.:80", Ok(Some(0))),
        ("example.com", Ok(None)),
        ("xapi.example.com", Ok(None)),
        ("api.example.com.evil.example", Ok(None)),
        ("a.shop.example", Ok(Some(0))),
        ("a.b.SHOP.example", Ok(Some(0))),
        ("shop.example", Ok(None)),
        (".shop.example", Ok(None)),
        ("ashop.example", Ok(None)),
        ("[::1]:80", Ok(Some(0))),
        ("[::1]", Ok(Some(0))),
        ("[::2]", Ok(None)),
        ("", AMBIGUOUS),
        (".", AMBIGUOUS),
        (":80", AMBIGUOUS),
        ("api.example.com:x", AMBIGUOUS),
        ("api.example.com:80:80", AMBIGUOUS),
        ("evil.example@api.example.com", AMBIGUOUS),
        ("api.example.com/", AMBIGUOUS),
        ("api.example.com, evil.example", AMBIGUOUS),
        ("api%2eexample.com", AMBIGUOUS),
        ("api.example.com\\evil.example", AMBIGUOUS),
        ("[::1", AMBIGUOUS),
        ("[::1]x", AMBIGUOUS),
    ] {
        let head = head(&[(":path", "/"), (":authority", host), ("host", "api.example.com")]);
        assert_eq!(position(&rules, &head), expected, "{host:?}");
    }
    let none = head(&[(":path", "/")]);
    assert_eq!(position(&rules, &none), AMBIGUOUS, "no host");
    let two = [(":path", "/"), (":authority", "api.example.com"), (":authority", "b.example")];
    assert_eq!(position(&rules, &head(&two)), AMBIGUOUS, "two hosts");
}

fn header(name: &str, test: HeaderTest) -> Conditions {
    let name = crate::http::HeaderName::parse(name).unwrap();
    Conditions { headers: vec![HeaderCondition { name, test }], ..Conditions::default() }
}

#[test]
fn a_header_that_readers_take_differently_decides_nothing() {
    const REPEATED: Result<Option<usize>, &str> = Err("header_repeated");
    let rules = |test| of(vec![rule(None, header("x-mode", test))], false);
    let equals = rules(HeaderTest::Equals(b"read".to_vec()));
    let present = rules(HeaderTest::Present);
    let absent = rules(HeaderTest::Absent);
    for (case, fields, is_equal, is_present, is_absent) in [
        ("none", &[][..], Ok(None), Ok(None), Ok(Some(0))),
        ("equal", &[("x-mode", "read")], Ok(Some(0)), Ok(Some(0)), Ok(None)),
        ("in another case", &[("X-Mode", " read ")], Ok(Some(0)), Ok(Some(0)), Ok(None)),
        ("another", &[("x-mode", "write")], Ok(None), Ok(Some(0)), Ok(None)),
        ("a longer one", &[("x-mode", "reader")], Ok(None), Ok(Some(0)), Ok(None)),
        ("empty", &[("x-mode", "")], Ok(None), Ok(Some(0)), Ok(None)),
        ("first", &[("x-mode", "read"), ("x-mode", "write")], REPEATED, Ok(Some(0)), Ok(None)),
        ("last", &[("x-mode", "write"), ("X-MODE", "read")], REPEATED, Ok(Some(0)), Ok(None)),
        ("the same", &[("x-mode", "read"), ("x-mode", "read")], REPEATED, Ok(Some(0)), Ok(None)),
        ("a list", &[("x-mode", "write, read")], REPEATED, Ok(Some(0)), Ok(None)),
        ("a list of others", &[("x-mode", "write, reader")], Ok(None), Ok(Some(0)), Ok(None)),
        ("other values", &[("x-mode", "a"), ("x-mode", "b")], Ok(None), Ok(Some(0)), Ok(None)),
        ("another spelling", &[("x_mode", "read")], REPEATED, REPEATED, REPEATED),
        ("both", &[("x-mode", "a"), ("x_mode", "read")], REPEATED, Ok(Some(0)), Ok(None)),
    ] {
        let mut all = vec![(":path", "/")];
        all.extend(fields);
        let head = head(&all);
        assert_eq!(position(&equals, &head), is_equal, "{case}: equals");
        assert_eq!(position(&present, &head), is_present, "{case}: present");
        assert_eq!(position(&absent, &head), is_absent, "{case}: absent");
    }
}

/// Only a rule that could decide makes a request ambiguous.
#[test]
fn a_rule_that_fails_for_certain_asks_no_more() {
    let twice = [(":path", "/"), (":method", "GET"), ("x-mode", "a"), ("x-mode", "b")];
    let mode = || header("x-mode", HeaderTest::Equals(b"a".to_vec()));
    let rules = |conditions| {
        let open = rule(None, Conditions::default());
        of(vec![rule(Some(prefix("/")), conditions), open], false)
    };
    let post = Conditions { methods: vec!["POST".to_owned()], ..mode() };
    let mut other = mode();
    other.headers.extend(header("x-other", HeaderTest::Present).headers);
    assert_eq!(position(&rules(post), &head(&twice)), Ok(Some(1)));
    assert_eq!(position(&rules(other), &head(&twice)), Ok(Some(1)));
    assert_eq!(position(&rules(mode()), &head(&twice)), Err("header_repeated"));
    let first = vec![rule(None, Conditions::default()), rule(None, mode())];
    assert_eq!(position(&of(first, false), &head(&twice)), Ok(Some(0)));
}

/// Rules for other paths are not even visited.
#[test]
fn the_cost_is_that_of_the_rules_for_the_path() {
    let paths = (0..10_000).flat_map(|i| {
        [exact(&format!("/a/{i}")), prefix(&format!("/b/{i}/c")), prefix(&format!("/{i}"))]
    });
    let rules = of(with_paths(paths.chain([prefix("/b")]).collect()), false);
    for (path, expected) in
        [("/a/7", &[21][..]), ("/b/7/c/d/e", &[22, 30_000]), ("/b/x", &[30_000]), ("/x/y/z", &[])]
    {
        assert_eq!(rules.index.matching(path.as_bytes()), expected, "{path}");
    }
}

/// Pseudo-random numbers, the same in every run (SplitMix64).
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        usize::try_from((z ^ (z >> 31)).checked_rem(u64::try_from(end).unwrap()).unwrap()).unwrap()
    }

    fn pick<'a>(&mut self, words: &[&'a str]) -> &'a str {
        words[self.below(words.len())]
    }

    fn path(&mut self, words: &[&str]) -> String {
        let segments: Vec<_> = (0..=self.below(4)).map(|_| self.pick(words)).collect();
        format!("/{}", segments.join("/"))
    }
}

/// The form of a pattern, and its meaning.
#[derive(Debug)]
enum Written {
    Exact(String),
    Beginning(String),
    Prefix(String),
    Template(String),
    Everywhere,
}

impl Written {
    fn random(random: &mut Random) -> Self {
        let slash = random.pick(&["", "", "/"]);
        let literal = random.path(&["a", "b", "c"]) + slash;
        match random.below(10) {
            0 => Self::Everywhere,
            1..4 => Self::Exact(literal),
            4..6 => Self::Prefix(if random.below(8) == 0 { "/".to_owned() } else { literal }),
            6..8 => Self::Beginning(literal),
            _ => {
                let rest = random.pick(&["", "", "/", "/**"]);
                Self::Template(random.path(&["a", "b", "*"]) + rest)
            }
        }
    }

    fn pattern(&self) -> Option<PathPattern> {
        match self {
            Self::Exact(path) => Some(exact(path)),
            Self::Prefix(path) => Some(prefix(path)),
            Self::Beginning(path) => Some(PathPattern::beginning(path).unwrap()),
            Self::Template(path) => Some(template(path)),
            Self::Everywhere => None,
        }
    }

    fn matches(&self, path: &str) -> bool {
        let below = |start: &str, path: &str| {
            path == start || path.starts_with(&format!("{}/", start.trim_end_matches('/')))
        };
        match self {
            Self::Everywhere => true,
            Self::Exact(own) => path == own,
            Self::Beginning(own) => path.starts_with(own.as_str()),
            Self::Prefix(own) if own.ends_with('/') => path.starts_with(own.as_str()),
            Self::Prefix(own) => below(own, path),
            Self::Template(own) => {
                let (own, is_open) = match own.strip_suffix("/**") {
                    Some(own) => (own, true),
                    None => (own.as_str(), false),
                };
                let (own, parts): (Vec<_>, Vec<_>) =
                    (own.split('/').collect(), path.split('/').collect());
                let fits = own.len() <= parts.len() && (is_open || own.len() == parts.len());
                fits && own.iter().zip(&parts).all(|(own, part)| match *own {
                    "*" => !part.is_empty(),
                    own => own == *part,
                })
            }
        }
    }
}

#[test]
fn the_index_finds_what_a_linear_search_finds() {
    let mut random = Random(1);
    let mut found = [0_usize; 2];
    for round in 0..1_000 {
        let written: Vec<_> = (0..random.below(30)).map(|_| Written::random(&mut random)).collect();
        let methods = |random: &mut Random| match random.below(3) {
            0 => vec!["GET".to_owned()],
            1 => vec!["POST".to_owned(), "PUT".to_owned()],
            _ => Vec::new(),
        };
        let rules: Vec<_> = written
            .iter()
            .map(|written| {
                let conditions =
                    Conditions { methods: methods(&mut random), ..Conditions::default() };
                rule(written.pattern(), conditions)
            })
            .collect();
        let rules = of(rules, false);
        for _ in 0..50 {
            let path = random.path(&["a", "b", "c", "ab"]) + random.pick(&["", "/", "d"]);
            let method = random.pick(&["GET", "POST"]);
            let naive = written.iter().zip(&rules.rules).position(|(written, rule)| {
                let methods = &rule.matcher.conditions.methods;
                written.matches(&path)
                    && (methods.is_empty() || methods.iter().any(|own| own == method))
            });
            let head = head(&[(":method", method), (":path", &path)]);
            assert_eq!(position(&rules, &head), Ok(naive), "{round}: {method} {path} {written:#?}");
            found[usize::from(naive.is_some())] += 1;
        }
    }
    assert!(found.iter().all(|count| *count > 5_000), "both outcomes: {found:?}");
}

/// How servers read a path, each in its own way, none of them like ours.
fn readings(path: &str) -> Vec<String> {
    fn decode(path: &str) -> String {
        String::from_utf8(crate::http::percent_decode(path.as_bytes()).into_owned()).unwrap()
    }
    fn merge(path: &str) -> String {
        let mut merged = path.to_owned();
        while merged.contains("//") {
            merged = merged.replace("//", "/");
        }
        merged
    }
    fn without_parameters(path: &str) -> String {
        let parts: Vec<_> = path.split('/').map(|part| part.split(';').next().unwrap()).collect();
        parts.join("/")
    }
    fn resolve(path: &str) -> String {
        let mut out: Vec<&str> = Vec::new();
        let parts: Vec<_> = path.split('/').skip(1).collect();
        for part in &parts {
            match *part {
                "." => {}
                ".." => drop(out.pop()),
                part => out.push(part),
            }
        }
        if matches!(parts.last(), Some(&"." | &"..")) {
            out.push("");
        }
        format!("/{}", out.join("/"))
    }
    let decoded = decode(path);
    let nginx = resolve(&merge(&decoded));
    let tomcat = resolve(&merge(&decode(&without_parameters(path))));
    let envoy = decode(&resolve(path));
    let iis = resolve(&merge(&decoded.replace('\\', "/")));
    let node = decoded.clone();
    let jetty = without_parameters(&resolve(&merge(&decoded)));
    let raw = path.to_owned();
    let files = resolve(&merge(&envoy));
    vec![nginx, tomcat, envoy, iis, node, jetty, raw, files]
}

#[test]
fn a_path_that_may_pass_is_decided_alike_in_every_reading() {
    let mut random = Random(2);
    let mut passed = 0;
    const PARTS: [&str; 14] =
        ["a", "b", "c", "a", "b", "c", "", ".", "..", "a;x", "a%2Fb", "..;", "b\\c", "%2e%2e%2Fb"];
    for round in 0..1_000 {
        let written: Vec<_> = (0..random.below(6)).map(|_| Written::random(&mut random)).collect();
        let rules: Vec<_> =
            written.iter().map(|it| rule(it.pattern(), Conditions::default())).collect();
        let (strict, lax) = (of(rules, false), {
            let rules = written.iter().map(|it| rule(it.pattern(), Conditions::default()));
            of(rules.collect(), true)
        });
        for _ in 0..50 {
            let path = random.path(&PARTS);
            for rules in [&strict, &lax] {
                let Ok(decided) = position(rules, &get(&path)) else { continue };
                passed += 1;
                for read in readings(&path) {
                    let naive = written.iter().position(|written| written.matches(&read));
                    // Only the raw spelling still contains an escape.
                    let is_raw = read.contains('%');
                    assert!(
                        is_raw || naive == decided || written.is_empty(),
                        "{round}: {path} is {read} to a server: {decided:?}, {naive:?} {written:#?}"
                    );
                }
            }
        }
    }
    assert!(passed > 10_000, "{passed}");
}
