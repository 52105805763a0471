//! Drives the filter through its callbacks, as a host's event loop does.

use std::sync::{Arc, Mutex, MutexGuard};

use super::Filter;
use super::abi::{Pairs, Trap};
use super::exchange::{Head, Outcome, Reply};
use super::fake::{FakeHost, Flow, Pending, Profile, ROOT, Step, Stream};
use super::headers::{Headers, nginx_refuses};
use super::imports::properties::kong_defaults;
use super::vm::{Engine, Export, SharedHost, Vm};

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum State {
    New,
    Running,
    /// Envoy: the configuration was refused, there is no listener.
    Refused,
    /// Kong: the filter did not start, so requests pass without it.
    Skipped,
    /// Envoy: a trap ended the VM.
    Dead,
}

pub struct Machine {
    pub(super) filter: Filter,
    pub(super) engine: Engine,
    pub(super) fake: SharedHost,
    pub(super) vm: Option<Box<dyn Vm>>,
    pub(super) state: State,
    pub(super) next_context: u32,
}

impl Machine {
    pub fn new(filter: Filter, engine: Engine, profile: Profile) -> Self {
        let mut fake = FakeHost::new(profile);
        fake.clusters = filter.clusters.iter().map(|name| (*name).to_owned()).collect();
        Self {
            filter,
            engine,
            fake: Arc::new(Mutex::new(fake)),
            vm: None,
            state: State::New,
            next_context: ROOT + 1,
        }
    }

    pub fn fake(&self) -> MutexGuard<'_, FakeHost> {
        self.fake.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    pub(super) fn profile(&self) -> Profile {
        self.fake().profile
    }

    pub fn is_new(&self) -> bool {
        self.state == State::New
    }

    pub(super) fn invoke(
        &mut self,
        step: Step,
        context: u32,
        export: Export,
        args: &[u32],
    ) -> Result<u32, Trap> {
        self.fake().enter(step, context);
        let vm = self.vm.as_mut().ok_or_else(|| Trap::new("there is no instance"))?;
        let result = vm.call(export, args);
        if let Err(trap) = &result {
            self.bury(export, trap);
        }
        result
    }

    /// A client's request, up to the end of `proxy_on_request_headers`.
    pub fn request(&mut self, root: u32, head: Head) -> u32 {
        let ready = self.ready();
        let context = self.next_context;
        self.next_context += 1;
        self.admit(root, context, &head);
        let refused = nginx_refuses(&head.headers).filter(|_| self.profile() == Profile::Kong);
        if let Some(why) = refused {
            self.fake().fail(context, 400, why);
            return context;
        }
        match self.state {
            State::Refused => {
                panic!("no listener: the configuration was refused; {}", self.story())
            }
            State::Dead => {
                self.fake().fail(context, 503, "an earlier trap ended the VM".to_owned())
            }
            State::Skipped => {
                let why = "the filter did not start".to_owned();
                self.fake().forward(context, Some(why));
            }
            _ if !ready => self.fake().fail(context, 500, "no new instance".to_owned()),
            _ => self.run_headers(root, context, head.has_body),
        }
        context
    }

    fn admit(&mut self, root: u32, context: u32, head: &Head) {
        let mut fake = self.fake();
        fake.keep_secrets_of(&head.headers);
        let path = head.headers.iter().find(|(name, _)| name == ":path");
        let mut stream = Stream {
            root,
            headers: Headers::of_request(fake.profile, &head.headers),
            response: None,
            raw_path: path.map(|(_, path)| path.clone()).unwrap_or_default(),
            properties: Default::default(),
            resumed: false,
            body: head.body.clone(),
            by_hand: head.by_hand,
            body_read: Vec::new(),
            trailers: None,
            headers_passed: None,
            local_response: None,
            outcome: Outcome::Paused,
            open: false,
        };
        if !fake.is_kong() && !head.trailers.is_empty() {
            stream.trailers = Some(Headers::of_request(fake.profile, &head.trailers));
        }
        if fake.is_kong() && !fake.is_plain {
            kong_defaults(&mut stream, &fake.properties);
        }
        fake.streams.insert(context, stream);
    }

    fn run_headers(&mut self, root: u32, context: u32, has_body: bool) {
        let (count, end_of_stream) = {
            let fake = self.fake();
            // Kong never says that a request has no body.
            (fake.streams[&context].headers.count() as u32, !has_body && !fake.is_kong())
        };
        let args = [context, count, u32::from(end_of_stream)];
        let created =
            self.invoke(Step::Start, context, Export::ContextCreate, &[context, root]).map(|_| {
                if let Some(stream) = self.fake().streams.get_mut(&context) {
                    stream.open = true;
                }
            });
        let action = created.and_then(|()| {
            self.invoke(Step::RequestHeaders, context, Export::RequestHeaders, &args)
        });
        match action {
            Ok(action) => {
                let flow = if action == 0 { Flow::Continue } else { Flow::Pause };
                self.fake().settle(Some((context, flow)));
                self.deliver_bodies();
                self.deliver_trailers(context);
            }
            Err(trap) => {
                let status = if self.profile() == Profile::Kong { 500 } else { 503 };
                self.fake().fail(context, status, trap.0);
            }
        }
    }

    /// Delivers the reply to a callout.
    pub fn answer(&mut self, token: u32, reply: Reply) {
        let pending = self.fake().pending.remove(&token);
        let Some(Pending { owner, .. }) = pending else {
            panic!("callout {token} is not pending any more");
        };
        self.deliver(owner, token, reply);
    }

    /// Calls the filter with a reply, awaited or not. Before one to a context that the
    /// instance does not have (any more), Kong's runtime makes it.
    pub fn deliver(&mut self, owner: u32, token: u32, reply: Reply) {
        // A dead VM hears nothing and its requests hang until the client leaves.
        if !self.ready() {
            return;
        }
        let fake = self.fake();
        let gone = fake.streams.get(&owner).filter(|stream| fake.is_kong() && !stream.open);
        let gone = gone.map(|stream| stream.root);
        drop(fake);
        if let Some(root) = gone {
            let _ = self.invoke(Step::Start, owner, Export::ContextCreate, &[owner, root]);
        }
        let (count, body) = self.fake().receive(token, reply);
        // Both hosts name the root context, whosever callout it was.
        let root = self.fake().streams.get(&owner).map_or(owner, |stream| stream.root);
        let args = [root, token, count as u32, body as u32, 0];
        let result = self.invoke(Step::CallResponse, owner, Export::HttpCallResponse, &args);
        let mut fake = self.fake();
        fake.reply = None;
        match result {
            Ok(_) => {
                fake.settle(Some((owner, Flow::Answered)));
                drop(fake);
                self.deliver_bodies();
                if gone.is_some() {
                    let _ = self.invoke(Step::Close, owner, Export::Delete, &[owner]);
                }
            }
            Err(trap) if fake.is_kong() && !fake.is_root(owner) => fake.fail_open(owner, &trap),
            Err(_) => {}
        }
    }

    fn tick(&mut self, root: u32) {
        if !self.ready() {
            return;
        }
        let mut fake = self.fake();
        let Some(plugin) = fake.plugins.get_mut(&root) else { return };
        let Some(period) = plugin.tick_period_ms else { return };
        plugin.next_tick_ns += u64::from(period) * 1_000_000;
        drop(fake);
        if self.invoke(Step::Tick, root, Export::Tick, &[root]).is_ok() {
            self.fake().settle(None);
            self.deliver_bodies();
        }
    }

    /// Hands in the bodies of the requests whose headers have passed: on Envoy in
    /// two pieces, on Kong as a whole.
    fn deliver_bodies(&mut self) {
        let mut fake = self.fake();
        let kong = fake.is_kong();
        let is_due = |stream: &&mut Stream| stream.headers_passed.is_some() && !stream.by_hand;
        let due = fake.streams.iter_mut().map(|(context, stream)| (*context, stream));
        let due: Vec<(u32, Vec<u8>)> = due
            .filter(|(_, stream)| is_due(stream))
            .filter_map(|(context, stream)| Some((context, stream.body.take()?)))
            .collect();
        drop(fake);
        for (context, body) in due {
            let mut fake = self.fake();
            let stream = &fake.streams[&context];
            // nginx takes no body where a filter sets that length.
            if kong && !body.is_empty() && stream.headers.first("content-length") == Some(b"0") {
                fake.fail(context, 400, "more body than declared".to_owned());
                continue;
            }
            drop(fake);
            let half = if kong { body.len() } else { body.len() / 2 };
            let mut flow = self.deliver_body(context, &body[..half], kong);
            if !kong {
                // What was held back is seen again, as one piece with the rest.
                let from = if flow == Some(Flow::Pause) { 0 } else { half };
                let is_last = self.fake().streams[&context].trailers.is_none();
                flow = self.deliver_body(context, &body[from..], is_last);
            }
            self.fake().settle(flow.map(|flow| (context, flow)));
        }
    }

    fn deliver_body(&mut self, context: u32, body: &[u8], is_last: bool) -> Option<Flow> {
        let kong = self.profile() == Profile::Kong;
        if let Some(stream) = self.fake().streams.get_mut(&context) {
            stream.body_read = body.to_vec();
        }
        // Kong never says that a body has ended.
        let args = [context, body.len() as u32, u32::from(is_last && !kong)];
        match self.invoke(Step::RequestBody, context, Export::RequestBody, &args) {
            Ok(action) => Some(if action == 0 { Flow::Continue } else { Flow::Pause }),
            Err(trap) => {
                self.fake().fail(context, if kong { 500 } else { 503 }, trap.0);
                None
            }
        }
    }

    /// A piece of the body, in whatever state the request is; whether it went on.
    pub fn piece(&mut self, context: u32, body: &[u8], is_last: bool) -> Option<bool> {
        if !self.fake().streams.get(&context).is_some_and(|stream| stream.open) {
            return None;
        }
        let flow = self.deliver_body(context, body, is_last)?;
        self.fake().settle(Some((context, flow)).filter(|_| is_last));
        Some(flow == Flow::Continue)
    }

    /// Envoy: the trailers, in whatever state the request is; whether it went on.
    pub fn trailers(&mut self, context: u32, trailers: &Pairs) -> Option<bool> {
        let mut fake = self.fake();
        let profile = fake.profile;
        let stream = fake.streams.get_mut(&context).filter(|stream| stream.open)?;
        stream.trailers = Some(Headers::of_request(profile, trailers));
        drop(fake);
        let args = [context, trailers.len() as u32];
        let action =
            self.invoke(Step::RequestTrailers, context, Export::RequestTrailers, &args).ok()?;
        let flow = if action == 0 { Flow::Continue } else { Flow::Pause };
        self.fake().settle(Some((context, flow)));
        Some(action == 0)
    }

    /// Envoy: hands in the trailers, whatever the request waits for. A filter that
    /// continues with them lets everything go on that it held back.
    fn deliver_trailers(&mut self, context: u32) {
        let count = {
            let fake = self.fake();
            let stream = &fake.streams[&context];
            let answered = matches!(stream.outcome, Outcome::Replied(_) | Outcome::Failed { .. });
            match &stream.trailers {
                Some(trailers) if !answered => trailers.count() as u32,
                _ => return,
            }
        };
        match self.invoke(
            Step::RequestTrailers,
            context,
            Export::RequestTrailers,
            &[context, count],
        ) {
            Ok(action) => {
                let flow = if action == 0 { Flow::Continue } else { Flow::Pause };
                let mut fake = self.fake();
                if let Some(stream) = fake.streams.get_mut(&context) {
                    // Nothing holds the body back any more.
                    stream.headers_passed = stream.headers_passed.take().filter(|_| action != 0);
                    stream.body = stream.body.take().filter(|_| action != 0);
                }
                fake.settle(Some((context, flow)));
            }
            Err(trap) => self.fake().fail(context, 503, trap.0),
        }
    }

    /// Lets time pass: ticks fire and callouts time out when they are due.
    pub fn advance(&mut self, by_ms: u64) {
        self.configure_by_default();
        let end = self.fake().now_ns + by_ms * 1_000_000;
        loop {
            let mut fake = self.fake();
            let tick = fake.next_tick();
            let timeout = fake.pending.values().min_by_key(|pending| pending.deadline_ns).cloned();
            let deadline = timeout.as_ref().map(|pending| pending.deadline_ns);
            let due = [tick.map(|(_, at)| at), deadline]
                .into_iter()
                .flatten()
                .min()
                .filter(|due| *due <= end);
            fake.now_ns = due.unwrap_or(end).max(fake.now_ns);
            drop(fake);
            match (due, timeout, tick) {
                (None, ..) => return,
                (due, Some(late), _) if due == deadline => self.answer(late.token, Reply::Failed),
                // Nothing moves in a host without an instance.
                _ if !self.ready() => return self.fake().now_ns = end,
                (_, _, Some((root, _))) => self.tick(root),
                _ => return,
            }
        }
    }

    /// A response comes while the request is under way; whether it goes on to the client.
    pub fn respond(&mut self, context: u32, response: &Pairs, details: &str) -> bool {
        if let Some(stream) = self.fake().streams.get_mut(&context) {
            stream.properties.insert("response.code_details".to_owned(), details.into());
        }
        let action = self.response_headers(context, response);
        self.fake().settle(None);
        action == Ok(0)
    }

    fn response_headers(&mut self, context: u32, response: &Pairs) -> Result<u32, Trap> {
        let mut fake = self.fake();
        let headers = Headers::of_reply(fake.profile, response);
        let count = headers.count() as u32;
        if let Some(stream) = fake.streams.get_mut(&context) {
            stream.response = Some(headers);
        }
        drop(fake);
        let args = [context, count, 0];
        self.invoke(Step::ResponseHeaders, context, Export::ResponseHeaders, &args)
    }

    /// The request ends: answered (with the upstream's response) or reset.
    pub fn close(&mut self, context: u32, response: Option<Pairs>) {
        let open = self.fake().streams.get(&context).is_some_and(|stream| stream.open);
        self.fake().cancel_callouts(context);
        if !open || self.vm.is_none() {
            return;
        }
        if let Some(response) = response {
            if self.response_headers(context, &response) == Ok(1) {
                self.fake().violate("the filter paused the response headers");
            }
            // In one piece, which is its last.
            let args = [context, 2, 1];
            let action = self.invoke(Step::ResponseBody, context, Export::ResponseBody, &args);
            if action == Ok(1) {
                self.fake().violate("the filter paused the response body");
            }
        }
        for export in [Export::Done, Export::Log, Export::Delete] {
            let step = if export == Export::Log { Step::Log } else { Step::Close };
            match self.invoke(step, context, export, &[context]) {
                Ok(0) if export == Export::Done => {
                    self.fake().violate("proxy_on_done returned false, so the context stays");
                }
                Ok(_) => {}
                Err(_) => return,
            }
        }
        if let Some(stream) = self.fake().streams.get_mut(&context) {
            stream.open = false;
        }
    }

    /// How much is in progress in the filter; natively only.
    pub fn in_progress(&mut self) -> usize {
        let says = matches!(self.engine, Engine::Native | Engine::InProcess);
        assert!(says, "a module says nothing of it");
        self.vm.as_mut().map_or(0, |vm| vm.call(Export::InProgress, &[]).unwrap() as usize)
    }

    /// What a failed test wants to know.
    pub fn story(&self) -> String {
        let fake = self.fake();
        let logs = fake.logs.iter().map(|line| format!("\n  [{}] {}", line.level, line.text));
        let violations = fake.violations.iter().map(|what| format!("\n  {what}"));
        format!(
            "{:?} on {:?}; broken rules:{}\nlog:{}",
            self.engine,
            fake.profile,
            violations.collect::<String>(),
            logs.collect::<String>()
        )
    }
}
