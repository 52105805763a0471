//! Instances and their root contexts: start, further ones, replacement, traps.

use std::sync::Arc;

use super::abi::Trap;
use super::fake::{Plugin, Profile, ROOT, Step, Stream};
use super::machine::{Machine, State};
use super::vm::Export;

impl Machine {
    /// Loads and configures the filter; whether it accepted.
    pub fn configure(&mut self, configuration: Vec<u8>) -> bool {
        assert!(self.is_new(), "a host is configured once; add another plugin to it");
        self.fake().plugins.entry(ROOT).or_default().configuration = configuration;
        let accepted = self.boot(true);
        self.state = match (accepted, self.profile()) {
            (true, _) => State::Running,
            (false, Profile::Envoy) => State::Refused,
            (false, Profile::Kong) => State::Skipped,
        };
        accepted
    }

    pub fn configure_by_default(&mut self) {
        if self.is_new() {
            let configuration = (self.filter.configuration)(self.profile());
            let accepted = self.configure(configuration.to_string().into_bytes());
            assert!(accepted, "the default configuration was refused; {}", self.story());
        }
    }

    /// One more root context in the same instance; whether it accepted.
    pub fn add_plugin(&mut self, configuration: Vec<u8>) -> Option<u32> {
        assert!(self.ready(), "there is no instance; {}", self.story());
        let root = self.next_context;
        self.next_context += 1;
        let plugin = Plugin { configuration, ..Plugin::default() };
        self.fake().plugins.insert(root, plugin);
        self.start_plugin(root, true).then_some(root)
    }

    /// Envoy: the listener of this root context was replaced, and its last request
    /// is over. (Kong doesn't say so to the old one, which just gets no more
    /// requests.)
    pub fn retire(&mut self, root: u32) {
        assert_eq!(self.profile(), Profile::Envoy, "Kong keeps old root contexts");
        let is_its = |stream: &Stream| stream.root == root && stream.undecided();
        assert!(!self.fake().streams.values().any(is_its), "Envoy waits for its requests");
        self.fake().cancel_callouts(root);
        let closed = self.invoke(Step::Close, root, Export::Done, &[root]);
        if closed == Ok(0) {
            self.fake().violate("proxy_on_done returned false, so the root context stays");
        }
        if closed.is_ok() && self.invoke(Step::Close, root, Export::Delete, &[root]).is_ok() {
            self.fake().plugins.remove(&root);
        }
    }

    /// A new instance; after a trap Kong makes one without `proxy_on_vm_start`.
    fn boot(&mut self, first: bool) -> bool {
        self.fake().enter(Step::Start, ROOT);
        match self.engine.boot(&self.filter, Arc::clone(&self.fake)) {
            Ok(vm) => self.vm = Some(vm),
            Err(trap) => {
                self.fake().violate(format!("the module does not load: {trap}"));
                return false;
            }
        }
        let roots: Vec<u32> = self.fake().plugins.keys().copied().collect();
        self.invoke(Step::Start, ROOT, Export::Initialize, &[]).is_ok()
            && roots.into_iter().all(|root| self.start_plugin(root, first))
    }

    fn start_plugin(&mut self, root: u32, first: bool) -> bool {
        let mut fake = self.fake();
        let plugin = fake.plugins.entry(root).or_default();
        plugin.tick_period_ms = None;
        let size = plugin.configuration.len() as u32;
        drop(fake);
        self.invoke(Step::Start, root, Export::ContextCreate, &[root, 0]).is_ok()
            && (!first || self.invoke(Step::Start, root, Export::VmStart, &[root, 0]) == Ok(1))
            && self.invoke(Step::Configure, root, Export::Configure, &[root, size]) == Ok(1)
    }

    /// Makes sure that there is an instance to call.
    pub(super) fn ready(&mut self) -> bool {
        self.configure_by_default();
        match self.state {
            State::Running => self.vm.is_some() || self.boot(false),
            _ => false,
        }
    }

    /// An instance that trapped is never called again.
    pub(super) fn bury(&mut self, export: Export, trap: &Trap) {
        let mut fake = self.fake();
        let said = fake.logs.iter().rev().find(|line| line.level == 5);
        let said = said.map(|line| format!(" ({})", line.text)).unwrap_or_default();
        fake.violate(format!("{} trapped: {trap}{said}", export.name()));
        drop(fake);
        self.lose_instance();
    }

    /// What a trap does, whoever caused it.
    pub fn lose_instance(&mut self) {
        self.vm = None;
        for stream in self.fake().streams.values_mut() {
            stream.open = false;
        }
        if self.profile() == Profile::Envoy && self.state == State::Running {
            self.state = State::Dead;
        }
    }
}
