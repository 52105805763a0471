//! What the page shows, and that it can be used.

use fantoccini::Locator;
use serde_json::json;

use crate::browser::{ENTER, RIGHT, SPACE, Visit, until};

const WIDE: u32 = 1440;
const NARROW: u32 = 390;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_user_sees_the_page_that_the_services_made_for_them() {
    let visit = Visit::start(WIDE).await;
    visit.go("/").await;
    let url = visit.browser.current_url().await.unwrap();
    assert_eq!((url.path(), url.query()), ("/login", Some("return_to=%2F")));
    visit.screenshot("login").await;

    for (name, who, promotion, language, price, recommended) in [
        ("Alice", "Alice Romero, premium, Spain", "15% off", "es", "€34.00", "espresso-cups"),
        ("Bob", "Bob Tanaka, standard, Japan", "Become premium", "ja", "¥5,610", "matcha-whisk"),
        (
            "Carol",
            "Carol Reyes, standard, the United States",
            "Become premium",
            "en",
            "$37.40",
            "moka-pot",
        ),
    ] {
        visit.log_in(name).await;
        assert_eq!(visit.text("h1").await, format!("Welcome, {name}"));
        assert_eq!(visit.text("#who").await, who);
        assert!(visit.text("#promotion").await.contains(promotion), "{name}");
        assert_eq!(visit.text("[data-product=moka-pot] .price").await, price);
        let shown = visit.script("return document.querySelector('blockquote [lang]').lang").await;
        assert_eq!(shown, language, "{name}");
        let first = visit.script("return document.querySelector('[data-pick]').dataset.pick").await;
        assert_eq!(first, recommended, "{name}");
        assert_eq!(
            visit.script("return document.querySelectorAll('#trace details').length").await,
            10
        );
        let received = visit.text("#trace [data-service=home]").await;
        for part in ["x-identity-token", "x-consumer-username", "customer_type", "order_history"] {
            assert!(received.contains(part), "{part} in {received}");
        }
        assert!(visit.text("#public").await.contains("at+jwt"), "the public token, decoded");
        assert!(visit.layout_shift().await < 0.01, "{name}: things jump about");
        visit.screenshot(&name.to_lowercase()).await;
    }

    visit.log_in("Dave").await;
    assert_eq!(visit.text("#problem").await, "403 group_forbidden");
    assert_eq!(visit.script("return document.querySelectorAll('[data-product]').length").await, 8);
    assert_eq!(
        visit.script("return document.querySelectorAll('[data-product] button').length").await,
        0
    );
    visit.screenshot("dave").await;

    // No script can read the token, and none of it is in what was received.
    assert_eq!(visit.script("return document.cookie").await, "");
    assert!(!visit.browser.source().await.unwrap().contains("eyJ"));
    visit
        .browser
        .find(Locator::Css("form[action='/logout'] button"))
        .await
        .unwrap()
        .click()
        .await
        .unwrap();
    until("the login page is back", || async {
        visit.browser.current_url().await.unwrap().path() == "/login"
    })
    .await;
    visit.go("/").await;
    assert_eq!(visit.browser.current_url().await.unwrap().path(), "/login");
    visit.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_counts_who_asked_the_user_service() {
    let visit = Visit::start(WIDE).await;
    visit.log_in("Alice").await;
    // The page itself was a request: what the picture says is what the table counts.
    let first = match visit.number("#calls-with").await {
        1 => "asked 1 time since the start",
        _ => "asked 2 times since the start",
    };
    assert_eq!(visit.text("#asked").await, first);
    assert_eq!(visit.number("#views-with").await, 1);
    for _ in 0..4 {
        visit.press("again").await;
    }
    assert_eq!(visit.number("#views-with").await, 5);
    assert!(visit.number("#calls-with").await <= 2, "once a worker");
    assert_eq!(visit.number("#calls-without").await, 0);
    assert_eq!(visit.text("#asked").await, "not asked");

    visit.choose("without").await;
    visit.screenshot("without").await;
    assert_eq!(visit.text("#asked").await, "asked 10 times");
    visit.press("again").await;
    assert_eq!(visit.number("#views-without").await, 2);
    assert_eq!(visit.number("#calls-without").await, 20);
    assert_eq!(visit.number("#checks-without").await, 20);
    assert_eq!(visit.text("h1").await, "Welcome, Alice", "the same page, at another price");
    assert!(visit.number("#calls-with").await <= 2);
    visit.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revoked_user_is_out_at_once_and_a_new_key_puts_nobody_out() {
    let visit = Visit::start(WIDE).await;
    visit.log_in("Alice").await;
    let kid = visit.text("#public dd").await;
    assert_eq!(visit.text("#rotate").await, "Rotate the key");
    let said = visit.press("rotate").await;
    assert!(said.contains("was replaced") && said.contains("still loads"), "{said}");
    assert_ne!(visit.text("#public dd").await, kid);
    assert_eq!(visit.text("h1").await, "Welcome, Alice");
    // The button says how long it waits, also on a new page, and why when it is pressed.
    visit.log_in("Alice").await;
    until("it counts down", || async { visit.text("#rotate").await.contains("(in ") }).await;
    let said = visit.press("rotate").await;
    assert!(said.contains("Please wait") && said.contains("at most every 30 s"), "{said}");

    let said = visit.press("revoke").await;
    assert!(said.contains("refuses the token"), "{said}");
    assert_eq!(visit.text("h1").await, "You are locked out");
    assert_eq!(visit.text("#problem").await, "401 token_revoked");
    for failure in ["#status", "h1", "#problem", ".node .ask"] {
        visit.is_red(failure).await;
    }
    visit.screenshot("revoked").await;
    // Without the filter nobody would know.
    visit.choose("without").await;
    assert_eq!(visit.text("h1").await, "Welcome, Alice");
    visit.go("/").await;
    assert_eq!(visit.browser.current_url().await.unwrap().path(), "/login");
    visit.log_in("Bob").await;
    assert_eq!(visit.text("h1").await, "Welcome, Bob", "others were not revoked");
    visit.log_in("Alice").await;
    assert_eq!(visit.text("h1").await, "Welcome, Alice", "a new login is a new token");
    visit.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn users_that_the_gateway_knows_outlive_the_user_service() {
    let visit = Visit::start(WIDE).await;
    visit.log_in("Alice").await;
    // So that both workers know her, whichever connections they got.
    for _ in 0..8 {
        visit.log_in("Alice").await;
        visit.press("again").await;
    }
    let said = visit.press("users").await;
    assert!(said.contains("is down") && said.contains("still loads"), "{said}");
    assert_eq!(visit.text("h1").await, "Welcome, Alice");
    visit.screenshot("users-down").await;
    visit.choose("without").await;
    assert_eq!(visit.text("h1").await, "The shop cannot serve you now");
    assert!(visit.text("#problem").await.starts_with("503"));
    // Each try is a call, and the picture says so.
    let (asked, counted) = (visit.text("#asked").await, visit.number("#calls-without").await);
    assert_eq!(asked, format!("down, asked {counted} time{}", if counted == 1 { "" } else { "s" }));
    for failure in ["#status", "h1", "#asked"] {
        visit.is_red(failure).await;
    }
    visit.screenshot("users-down-without").await;
    visit.choose("with").await;
    assert_eq!(visit.text("h1").await, "Welcome, Alice");
    let said = visit.press("users").await;
    assert!(said.contains("is back"), "{said}");
    visit.choose("without").await;
    assert_eq!(visit.text("h1").await, "Welcome, Alice");
    visit.end().await;
}

/// What sticks out of the window, or of the card that it is in.
const STICKS_OUT: &str = r#"
    const edge = (element) => element.getBoundingClientRect().right + 0.5;
    const shown = [...document.querySelectorAll("body *:not(.skip, .sr, .sr *, svg *)")]
        .filter((element) => element.getClientRects().length);
    return shown
        .filter((element) => edge(element) > document.documentElement.clientWidth + 1
            || edge(element) > edge(element.closest(".card, .node, .product, .pick") ?? document.body) + 1)
        .map((element) => `${element.tagName} ${element.className} ${element.textContent}`);
"#;

/// Values of the tokens and headers that have room for less than ten letters.
const CRAMPED: &str = r#"
    return [...document.querySelectorAll("dd")]
        .filter((each) => each.getClientRects().length && each.clientWidth < 80)
        .map((each) => each.previousElementSibling.textContent);
"#;

/// Text whose contrast to what is behind it is below 4.5 (WCAG 2.2, 1.4.3).
const FAINT: &str = r#"
    const numbers = (colour) => colour.match(/[\d.]+/g).map(Number);
    const light = (colour) => {
        const [r, g, b] = colour.map((part) => part / 255)
            .map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4));
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const above = (element) => { const all = []; for (let it = element; it; it = it.parentElement) all.push(it); return all; };
    const contrast = (element) => {
        const painted = above(element).map((it) => numbers(getComputedStyle(it).backgroundColor));
        const behind = (painted.find((colour) => colour.length === 3 || colour[3] > 0) ?? [255, 255, 255]).slice(0, 3);
        const opacity = above(element).reduce((product, it) => product * getComputedStyle(it).opacity, 1);
        const text = numbers(getComputedStyle(element).color).slice(0, 3)
            .map((part, index) => part * opacity + behind[index] * (1 - opacity));
        const [dark, bright] = [light(text), light(behind)].sort((a, b) => a - b);
        return (bright + 0.05) / (dark + 0.05);
    };
    const says = (element) => [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
    return [...document.querySelectorAll("body *:not(.skip, .sr, .sr *)")]
        .filter((element) => says(element) && element.getClientRects().length && contrast(element) < 4.5)
        .map((element) => `${element.tagName} ${element.className} ${contrast(element).toFixed(2)}`);
"#;

/// Names of keys and tokens, and labels of buttons, that do not stand on one line.
const BROKEN: &str = r#"
    const lines = (element) => {
        const tops = new Set();
        const texts = document.createTreeWalker(element, NodeFilter.SHOW_TEXT);
        while (texts.nextNode()) {
            if (texts.currentNode.parentElement.closest(".sr")) continue;
            const range = document.createRange();
            range.selectNodeContents(texts.currentNode);
            for (const each of range.getClientRects()) tops.add(Math.round(each.top));
        }
        return tops.size;
    };
    const labels = ".id, .counts thead th, button, .mode span:not(.absent), .doors > :not(.absent)";
    const shown = (each) => innerWidth >= 390 || each.matches(".id");
    return [...document.querySelectorAll(labels)]
        .filter((each) => shown(each) && each.getClientRects().length && lines(each) > 1)
        .map((each) => each.textContent);
"#;

/// Nobody scrolls through the shop to find out what it cost.
const NUMBERS_FIRST: &str = "const top = (selector) => \
     document.querySelector(selector).getBoundingClientRect().top;
     return top('#numbers') <= top('#shop') && top('#numbers') < top('aside')";

/// In every window, light and dark: nothing sticks out, is squeezed, or is faint.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_can_be_read_in_every_window() {
    let visit = Visit::start_with_both_doors(WIDE).await;
    for (width, scheme) in
        [(WIDE, "light"), (1024, "dark"), (NARROW, "dark"), (NARROW, "light"), (320, "light")]
    {
        visit.look_through(width, scheme).await;
        visit.go("/login").await;
        for check in [STICKS_OUT, FAINT] {
            assert_eq!(visit.script(check).await, json!([]), "login, {width} {scheme}");
        }
        visit.log_in("Alice").await;
        for mode in ["without", "with"] {
            visit.choose(mode).await;
            let open =
                "for (const each of document.querySelectorAll('#trace details')) each.open = true";
            visit.script(open).await;
            visit.screenshot(&format!("{mode}-{width}-{scheme}")).await;
            for check in [STICKS_OUT, CRAMPED, FAINT, BROKEN] {
                assert_eq!(visit.script(check).await, json!([]), "{mode}, {width} {scheme}");
            }
            assert_eq!(visit.script(NUMBERS_FIRST).await, true, "{mode}, {width} {scheme}");
        }
    }
    visit.end().await;
}

/// Every step by Tab, Enter, Space and the arrows; the focus shows all the way.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_shop_needs_no_mouse() {
    let visit = Visit::start(NARROW).await;
    visit.go("/login?return_to=/").await;
    visit.tab_to("#username").await;
    visit.keys(&['a', 'l', 'i', 'c', 'e']).await;
    visit.tab_to("#password").await;
    visit.keys(&['n', 'o', ENTER]).await;
    until("the password is wrong", || async {
        visit.text("#problem").await.contains("do not go together")
    })
    .await;
    let kept = visit.script("return document.getElementById('username').value").await;
    assert_eq!(kept, "alice");
    visit.tab_to("#password").await;
    visit.keys(&"wonderland".chars().collect::<Vec<_>>()).await;
    visit.keys(&[ENTER]).await;
    visit.until_shown().await;
    assert_eq!(visit.text("h1").await, "Welcome, Alice");
    assert!(visit.layout_shift().await < 0.01, "things jump about");
    visit.screenshot("narrow").await;
    let fits = visit.script("return document.documentElement.scrollWidth <= innerWidth").await;
    assert_eq!(fits, true, "nothing is wider than the window");

    visit.tab_to("input[value=with]").await;
    visit.keys(&[RIGHT]).await;
    let said = visit.said().await;
    assert!(said.contains("asks the user service"), "{said}");
    visit.tab_to("#again").await;
    visit.keys(&[ENTER]).await;
    visit.tab_to("[data-product=tea-tin] button").await;
    visit.keys(&[SPACE]).await;
    until("it is in the basket", || async { visit.text("#basket").await.contains("1 × Tea tin") })
        .await;
    let focus = visit
        .script("return document.activeElement.closest('[data-product]')?.dataset.product")
        .await;
    assert_eq!(focus, "tea-tin", "the focus stays where one was");
    visit.tab_to("#trace summary").await;
    visit.keys(&[ENTER]).await;
    assert!(visit.text("#trace details[open]").await.contains("Header fields"));
    visit.end().await;
}
