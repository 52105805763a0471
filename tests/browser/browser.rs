//! A shop, and a browser that visits it.

use std::future::Future;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};
use std::{env, fs};

use fantoccini::actions::{InputSource, KeyAction, KeyActions};
use fantoccini::wd::WebDriverCompatibleCommand;
use fantoccini::{Client, ClientBuilder, Locator};
use hyper::Method;
use serde_json::{Value, json};
use tokio::process::{Child, Command};
use tokio::time::sleep;
use url::Url;

use crate::stack::door::Door;
use crate::stack::ports::Ports;
use crate::stack::{Options, Stack, envoy};

/// How long anything that is waited for may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// The keys that the tests press, as WebDriver calls them.
pub const TAB: char = '\u{e004}';
pub const ENTER: char = '\u{e007}';
pub const SPACE: char = ' ';
pub const RIGHT: char = '\u{e014}';

pub struct Visit {
    pub browser: Client,
    pub ports: Ports,
    /// Both end when dropped.
    _driver: Child,
    _stack: Option<Stack>,
}

impl Visit {
    /// A new shop with one door, and a browser of this width at it.
    pub async fn start(width: u32) -> Self {
        Self::begin(width, false).await
    }

    /// A new shop with both doors, for what shows them: its Envoy has a module to compile.
    pub async fn start_with_both_doors(width: u32) -> Self {
        Self::begin(width, true).await
    }

    async fn begin(width: u32, both_doors: bool) -> Self {
        let ports = Ports::unused();
        let log = format!("{}/browser-{}.log", env!("CARGO_TARGET_TMPDIR"), ports.listener);
        let stack = Stack::start(Options {
            ports,
            envoy: Some(envoy::installed()),
            door: Door::chosen(),
            both_doors,
            signing_key: None,
            users_api_key: None,
            envoy_log: Some(log.into()),
        });
        let stack = stack.await.unwrap();
        stack.ready().await.unwrap();
        let (browser, driver) = open(width).await;
        Self { browser, ports, _driver: driver, _stack: Some(stack) }
    }

    /// Another browser, with cookies of its own, at the door of the same shop.
    pub async fn beside(&self, width: u32) -> Self {
        let (browser, driver) = open(width).await;
        Self { browser, ports: self.ports, _driver: driver, _stack: None }
    }

    /// Goes to a path of the shop.
    pub async fn go(&self, path: &str) {
        let url = format!("http://127.0.0.1:{}{path}", self.ports.listener);
        self.browser.goto(&url).await.unwrap();
    }

    /// Logs in by the button with the user's name.
    pub async fn log_in(&self, name: &str) {
        self.go("/login").await;
        let button = format!("//button[strong='{name}']");
        self.browser.find(Locator::XPath(&button)).await.unwrap().click().await.unwrap();
        self.until_shown().await;
    }

    pub async fn until_shown(&self) {
        until("the page is there", || async {
            self.script(
                "return document.querySelector('main:not([hidden]) h1#shop-title') !== null",
            )
            .await
                == true
        })
        .await;
    }

    /// Presses a button of the console, and gives what the page says then.
    pub async fn press(&self, id: &str) -> String {
        self.script("document.getElementById('status').textContent = ''").await;
        self.browser.find(Locator::Id(id)).await.unwrap().click().await.unwrap();
        self.said().await
    }

    /// Loads the page with the filter, or without it.
    pub async fn choose(&self, mode: &str) -> String {
        self.script("document.getElementById('status').textContent = ''").await;
        let label = format!("//label[input[@value='{mode}']]");
        self.browser.find(Locator::XPath(&label)).await.unwrap().click().await.unwrap();
        self.said().await
    }

    /// What the page says next.
    pub async fn said(&self) -> String {
        until("the page says something", || async { !self.text("#status").await.is_empty() }).await;
        self.text("#status").await
    }

    /// The text that an element holds; nothing if there is none.
    pub async fn text(&self, selector: &str) -> String {
        let script = "return document.querySelector(arguments[0])?.textContent ?? ''";
        let text = self.browser.execute(script, vec![json!(selector)]).await.unwrap();
        text.as_str().unwrap().to_owned()
    }

    /// What went wrong has the colour for it.
    pub async fn is_red(&self, selector: &str) {
        let script = "const danger = document.createElement('i'); danger.className = 'danger';
            document.body.append(danger);
            const [own, red] = [document.querySelector(arguments[0]), danger].map((it) => getComputedStyle(it).color);
            danger.remove();
            return own === red";
        let is_red = self.browser.execute(script, vec![json!(selector)]).await.unwrap();
        assert_eq!(is_red, true, "{selector}");
    }

    pub async fn number(&self, selector: &str) -> u64 {
        self.text(selector).await.parse().unwrap()
    }

    pub async fn script(&self, script: &str) -> Value {
        self.browser.execute(script, Vec::new()).await.unwrap()
    }

    /// Looks at the page through a window of this width, in light or dark.
    pub async fn look_through(&self, width: u32, scheme: &str) {
        let media = json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]});
        self.devtools("Emulation.setEmulatedMedia", media).await;
        let size = json!({"width": width, "height": 1000, "deviceScaleFactor": 1, "mobile": false});
        self.devtools("Emulation.setDeviceMetricsOverride", size).await;
    }

    pub async fn devtools(&self, command: &'static str, parameters: Value) {
        self.browser.issue_cmd(Devtools { command, parameters }).await.unwrap();
    }

    /// Keys as a person presses them, wherever the focus is.
    pub async fn keys(&self, keys: &[char]) {
        let presses = keys.iter().fold(KeyActions::new("keyboard".to_owned()), |actions, key| {
            actions.then(KeyAction::Down { value: *key }).then(KeyAction::Up { value: *key })
        });
        self.browser.perform_actions(presses).await.unwrap();
    }

    /// Goes on by Tab until an element has the focus, as it must at some time.
    pub async fn tab_to(&self, selector: &str) {
        for _ in 0..60 {
            let script = "return document.activeElement.matches(arguments[0]) && document.activeElement.matches(':focus-visible')";
            if self.browser.execute(script, vec![json!(selector)]).await.unwrap() == true {
                return;
            }
            self.keys(&[TAB]).await;
        }
        panic!("{selector} cannot be reached by Tab");
    }

    /// How far things jumped about while the page was loaded (0: not at all).
    pub async fn layout_shift(&self) -> f64 {
        let script = "const done = arguments[0]; let sum = 0;
            new PerformanceObserver((list) => { for (const shift of list.getEntries()) sum += shift.value; })
                .observe({type: 'layout-shift', buffered: true});
            setTimeout(() => done(sum), 500);";
        self.browser.execute_async(script, Vec::new()).await.unwrap().as_f64().unwrap()
    }

    pub async fn screenshot(&self, name: &str) {
        if let Some(directory) = env::var_os("SCREENSHOTS") {
            let path = PathBuf::from(directory).join(format!("{name}.png"));
            fs::write(path, self.browser.screenshot().await.unwrap()).unwrap();
        }
    }

    pub async fn end(self) {
        self.browser.close().await.unwrap();
    }
}

/// A browser of this width, and its driver.
async fn open(width: u32) -> (Client, Child) {
    let arguments = [
        "--headless=new",
        // Root, as which continuous integration often runs, has no sandbox.
        "--no-sandbox",
        // Small in containers.
        "--disable-dev-shm-usage",
        "--hide-scrollbars",
        &format!("--window-size={width},1000"),
    ];
    let capabilities = json!({
        "goog:chromeOptions": {"args": arguments},
        "goog:loggingPrefs": {"browser": "ALL"},
    });
    let mut builder = ClientBuilder::new(hyper_util::client::legacy::connect::HttpConnector::new());
    builder.capabilities(capabilities.as_object().unwrap().clone());
    let until = Instant::now() + PATIENCE;
    loop {
        // The driver ends if somebody took its port, and what listens there then is no driver.
        let (mut driver, url) = start_driver();
        while driver.try_wait().unwrap().is_none() {
            match builder.connect(&url).await {
                Ok(browser) => return (browser, driver),
                Err(error) if Instant::now() > until => panic!("no browser: {error}"),
                Err(_) => sleep(Duration::from_millis(100)).await,
            }
        }
        assert!(Instant::now() < until, "no browser: the driver ends at once");
        sleep(Duration::from_millis(100)).await;
    }
}

/// A driver, and where it will listen.
fn start_driver() -> (Child, String) {
    let port = Ports::unused().listener;
    let driver = Command::new("chromedriver")
        .arg(format!("--port={port}"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .expect("chromedriver is installed, as by `make test`");
    (driver, format!("http://127.0.0.1:{port}"))
}

/// A command of Chromium's own.
#[derive(Debug)]
struct Devtools {
    command: &'static str,
    parameters: Value,
}

impl WebDriverCompatibleCommand for Devtools {
    fn endpoint(&self, base: &Url, session: Option<&str>) -> Result<Url, url::ParseError> {
        base.join(&format!("session/{}/goog/cdp/execute", session.unwrap_or_default()))
    }

    fn method_and_body(&self, _: &Url) -> (Method, Option<String>) {
        (Method::POST, Some(json!({"cmd": self.command, "params": self.parameters}).to_string()))
    }
}

/// Waits until something is so.
pub async fn until<F: Future<Output = bool>>(what: &str, mut is_so: impl FnMut() -> F) {
    let give_up = Instant::now() + PATIENCE;
    while !is_so().await {
        assert!(Instant::now() < give_up, "never: {what}");
        sleep(Duration::from_millis(50)).await;
    }
}
