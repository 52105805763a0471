//! Kong's plugins beside Gatepass: those whose consumer it replaces, and acl, which does not
//! find its consumers.

use crate::files::{OWN, indented, with};
use crate::support::Desk;

/// What `check` says of plugins in a kong.yml with the routes `open` and `orders`; `at`: the
/// other plugins in each of four places.
fn told(own: &str, gatepass: usize, at: [&str; 4]) -> Vec<String> {
    let plugins = |place: usize, spaces: usize| {
        let mut text = String::new();
        let other = at[place];
        if !other.is_empty() {
            text.push_str(&format!("- {other}\n"));
        }
        if gatepass == place {
            text.push_str(&format!("- name: gatepass\n  config:\n{}", indented(own, 4)));
        }
        let pad = " ".repeat(spaces);
        if text.is_empty() {
            String::new()
        } else {
            format!("{pad}plugins:\n{}", indented(&text, spaces))
        }
    };
    let file = format!(
        "_format_version: '3.0'\n{}services:\n- name: shop\n  url: http://shop\n{}  routes:\n  \
         - name: open\n    paths: [/open]\n{}  - name: orders\n    paths: [/orders]\n{}",
        plugins(0, 0),
        plugins(1, 2),
        plugins(2, 4),
        plugins(3, 4),
    );
    let desk = Desk::new();
    desk.put("kong.yml", &file);
    let run = desk.run_with(&["check", "--no-env", "kong.yml"], &[], "").ended(0);
    let lines = run.out.lines().filter(|line| line.contains("Gatepass on"));
    lines.map(|line| line.split_once("warning: ").unwrap().1.to_owned()).collect()
}

#[test]
fn plugins_for_the_same_requests() {
    const JWT: &str = "{name: jwt}";
    const ACL: &str = "{name: acl, config: {allow: [staff]}}";
    let jwt = |place: &str| {
        vec![format!(
            "{place}: jwt is beside Gatepass on {{}}: both ask for a credential, and only one of them \
             says who the consumer is. Remove it from there"
        )]
    };
    let on = |mut told: Vec<String>, routes: &str| {
        told[0] = told[0].replace("{}", routes);
        told
    };
    let none = Vec::<String>::new();
    for (case, gatepass, at, expected) in [
        ("nothing", 0, ["", "", "", ""], none.clone()),
        ("of everything", 0, [JWT, "", "", ""], on(jwt("plugins[0]"), "routes open, orders")),
        ("of one route", 0, ["", "", "", JWT], on(jwt("routes[1].plugins[0]"), "route orders")),
        ("of the other route", 2, ["", "", "", JWT], none.clone()),
        ("of the service", 2, ["", JWT, "", ""], on(jwt("plugins[0]"), "route open")),
        ("one that is off", 0, ["", "", "", "{name: jwt, enabled: false}"], none.clone()),
        ("one of a consumer", 0, ["{name: jwt, consumer: alice}", "", "", ""], none.clone()),
        (
            "by reference",
            0,
            ["{name: jwt, route: orders}", "", "", ""],
            on(jwt("plugins[0]"), "route orders"),
        ),
        ("of another file", 0, ["{name: jwt, service: {name: blog}}", "", "", ""], none.clone()),
        ("that does not ask", 0, ["{name: rate-limiting}", "", "", ""], none.clone()),
        (
            "with its groups",
            0,
            [
                "",
                "",
                "",
                "{name: acl, config: {allow: [a], always_use_authenticated_groups: true}}",
            ],
            none.clone(),
        ),
    ] {
        let told = told(OWN, gatepass, at);
        assert_eq!(told.len(), expected.len(), "{case}: {told:#?}");
        for (told, expected) in told.iter().zip(&expected) {
            assert!(told.ends_with(expected), "{case}: {told}");
        }
    }
    // What denies by itself and what does not, with whom Gatepass has authenticated.
    for (plugin, told_of) in [
        ("{name: key-auth}", "key-auth is beside Gatepass on route orders, and asks for"),
        ("{name: basic-auth}", "basic-auth is beside Gatepass on route orders, and asks for"),
        ("{name: hmac-auth, config: {}}", "hmac-auth is beside Gatepass on route orders, and asks"),
        ("{name: ldap-auth, config: {anonymous: ''}}", "ldap-auth is beside Gatepass on route "),
        ("{name: key-auth, config: {anonymous: nobody}}", ""),
        ("{name: oauth2}", "oauth2 is beside Gatepass on route orders: both ask for a credential"),
        ("{name: oauth2, config: {anonymous: nobody}}", ""),
        ("{name: jwt, config: {anonymous: nobody}}", ""),
        ("{name: jwt-signer, config: {anonymous: nobody}}", "jwt-signer is beside Gatepass on "),
        ("{name: session}", ""),
    ] {
        let told = told(OWN, 0, ["", "", "", plugin]);
        assert_eq!(told.len(), usize::from(!told_of.is_empty()), "{plugin}: {told:#?}");
        assert!(told.concat().contains(told_of), "{plugin}: {told:?}");
    }
    let acl = told(OWN, 0, ["", "", "", ACL]);
    assert!(
        acl[0].contains("acl is beside Gatepass on route orders, and finds no groups"),
        "{acl:?}"
    );
    // In shadow mode they decide, and acl must find groups all the same.
    let shadow = format!("{OWN}mode: shadow\n");
    assert_eq!(told(&shadow, 0, [JWT, "", "", "{name: key-auth}"]), none);
    let acl = told(&shadow, 0, ["", "", "", ACL]);
    assert!(acl[0].ends_with("Give entries the id that their consumers have in Kong"), "{acl:?}");
    // Kong has these consumers.
    let kongs = format!("{OWN}consumers: {{claim: [azp], kong: custom_id}}\n");
    assert_eq!(told(&kongs, 0, ["", "", "", ACL]), none);
    let id = "5c0c8a1e-0d55-4d27-9e7f-5d1f0a9e3b11";
    for (entry, count) in [(format!("key: web, id: {id}"), 0), ("key: web".to_owned(), 1)] {
        let own =
            format!("{OWN}consumers: {{claim: [azp], entries: [{{{entry}, username: web}}]}}\n");
        assert_eq!(told(&own, 0, ["", "", "", ACL]).len(), count, "{entry}");
    }
}

/// The filter runs after all plugins.
#[test]
fn plugins_before_the_filter() {
    let file = |route: &str| {
        format!(
            "_format_version: '3.0'\nfilter_chains:\n- route: {route}\n  filters:\n  - name: gatepass\n    \
             config:\n{}services:\n- name: shop\n  url: http://shop\n  routes:\n  - name: orders\n    \
             paths: [/orders]\n    plugins: [{{name: acl, config: {{allow: [staff]}}}}, {{name: key-auth}}]\n  \
             - {{name: open, paths: [/open]}}\n",
            indented(OWN, 6)
        )
    };
    let desk = Desk::new();
    for (route, is_told) in [("orders", true), ("open", false)] {
        desk.put("kong.yml", &with(&file(route), "upstream: auth,", "upstream: 'auth:80',"));
        let run = desk.run_with(&["check", "--no-env", "kong.yml"], &[], "");
        let told = run.out.contains("plugins[0]: acl runs before the filter on route orders");
        assert_eq!(told, is_told, "{route}: {run:?}");
        assert!(!run.out.contains("key-auth"), "it replaces what that sets: {run:?}");
    }
}
