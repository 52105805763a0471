//! What the page shows of clients other than itself: other tabs and browsers, a thief, an
//! agent, a browser without scripts; and the gateway by its other door.

use fantoccini::Locator;
use serde_json::json;

use crate::browser::{Visit, until};
use crate::stack::door::Door;

const WIDE: u32 = 1440;
const NARROW: u32 = 390;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_logs_out_everywhere_is_out_in_every_tab_and_browser() {
    let visit = Visit::start(WIDE).await;
    let other = visit.beside(NARROW).await;
    other.log_in("Alice").await;
    visit.log_in("Alice").await;
    let first = visit.browser.window().await.unwrap();
    let tab = visit.browser.new_window(true).await.unwrap().handle;
    visit.browser.switch_to_window(tab).await.unwrap();
    visit.go("/").await;
    visit.until_shown().await;
    visit.browser.find(Locator::Id("everywhere")).await.unwrap().click().await.unwrap();
    until("it says so", || async {
        visit.text("#said").await.starts_with("You are logged out everywhere")
    })
    .await;
    visit.screenshot("logged-out").await;

    // The tab that was left notices when it is looked at.
    visit.browser.switch_to_window(first).await.unwrap();
    until("the first tab is out", || async { visit.text("h1").await == "You are locked out" })
        .await;
    // The other browser still has its cookie, which is worth nothing.
    other.press("again").await;
    assert_eq!(other.text("#problem").await, "401 token_revoked");
    other.screenshot("logged-out-elsewhere").await;
    other.log_in("Alice").await;
    assert_eq!(other.text("h1").await, "Welcome, Alice", "a new login is a new session");
    other.end().await;
    visit.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thief_gets_nothing_and_an_agent_finds_its_way() {
    let visit = Visit::start(WIDE).await;
    for width in [WIDE, NARROW] {
        visit.look_through(width, "light").await;
        visit.log_in("Alice").await;
        let lines = |list: &'static str| {
            let script = "return [...document.querySelectorAll(`#${arguments[0]} li`)]
                .map((line) => line.querySelector('.answer')?.textContent ?? line.textContent)";
            visit.browser.execute(script, vec![json!(list)])
        };
        visit.browser.find(Locator::Id("steal")).await.unwrap().click().await.unwrap();
        until("all was tried", || async {
            lines("bound").await.unwrap().as_array().unwrap().len() == 5
        })
        .await;
        let mismatch = "401 binding_mismatch";
        assert_eq!(
            lines("bound").await.unwrap(),
            json!(["200", "200", mismatch, mismatch, "401 dpop_invalid"])
        );
        visit.browser.find(Locator::Id("send")).await.unwrap().click().await.unwrap();
        until("the agent is back", || async {
            lines("agent").await.unwrap().as_array().unwrap().len() == 6
        })
        .await;
        assert_eq!(
            lines("agent").await.unwrap(),
            json!(["401", "200", "200", "302", "200", "200"])
        );
        assert!(visit.text("#agent").await.contains("as shopping-agent for Alice Romero"));
        visit.script("document.getElementById('clients').scrollIntoView()").await;
        visit.screenshot(&format!("clients-{width}")).await;
        let fits = visit.script("return document.documentElement.scrollWidth <= innerWidth").await;
        assert_eq!(fits, true, "{width}");
    }
    visit.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_session_goes_through_both_doors() {
    let visit = Visit::start_with_both_doors(WIDE).await;
    visit.log_in("Alice").await;
    let (own, other) = (Door::chosen(), Door::chosen().other());
    assert_eq!(visit.text(".doors [aria-current]").await, own.name());
    if !other.is_built() {
        assert!(visit.text(".doors .absent").await.contains(other.target()));
        return visit.end().await;
    }
    visit.browser.find(Locator::Css(".doors a")).await.unwrap().click().await.unwrap();
    until("it is the other door", || async {
        visit.text(".doors [aria-current]").await == other.name()
    })
    .await;
    visit.until_shown().await;
    assert_eq!(visit.browser.current_url().await.unwrap().port(), Some(visit.ports.other));
    assert_eq!(visit.text("h1").await, "Welcome, Alice");
    assert!(visit.text("#flow").await.contains(other.name()));
    visit.choose("without").await;
    assert_eq!(visit.text("h1").await, "Welcome, Alice", "the switches work from here too");
    visit.choose("with").await;
    let said = visit.press("revoke").await;
    assert!(said.contains("refuses the token"), "{said}");
    visit.go("/").await;
    let url = visit.browser.current_url().await.unwrap();
    assert_eq!(url.path(), "/login", "out at the first door as well");
    visit.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_scripts_the_page_says_what_to_do() {
    let visit = Visit::start(NARROW).await;
    visit.devtools("Emulation.setScriptExecutionDisabled", json!({"value": true})).await;
    visit.go("/login").await;
    visit
        .browser
        .find(Locator::XPath("//button[strong='Carol']"))
        .await
        .unwrap()
        .click()
        .await
        .unwrap();
    let shown = || visit.browser.find(Locator::Css("noscript h1"));
    until("the page is there", || async { shown().await.is_ok() }).await;
    assert_eq!(shown().await.unwrap().text().await.unwrap(), "This page needs scripts");
    visit.screenshot("without-scripts").await;
    let link = visit.browser.find(Locator::Css("noscript a[href='/home']")).await.unwrap();
    link.click().await.unwrap();
    let source = visit.browser.source().await.unwrap();
    assert!(source.contains("Carol Reyes"), "{source}");
    visit.go("/").await;
    visit.browser.find(Locator::Id("everywhere")).await.unwrap().click().await.unwrap();
    let said = visit.browser.find(Locator::Id("said")).await.unwrap().text().await.unwrap();
    assert!(said.starts_with("You are logged out everywhere"), "{said}");
    visit.end().await;
}
