//! The gateways as processes: starting them, their CPU time and their memory.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;
use tokio::time::sleep;

use crate::load::Connection;
use crate::tokens::request;

/// Who runs where: the client and the services on the first CPU, the gateway on
/// the last.
#[derive(Clone, Copy)]
pub struct Cpus {
    pub client: usize,
    pub gateway: usize,
}

impl Cpus {
    pub fn of_this_machine() -> Self {
        let allowed = sched_getaffinity(Pid::from_raw(0)).expect("Linux");
        let mut allowed = (0..CpuSet::count()).filter(|cpu| allowed.is_set(*cpu) == Ok(true));
        let client = allowed.next().unwrap_or(0);
        Self { client, gateway: allowed.next_back().unwrap_or(client) }
    }
}

/// Keeps this thread, and what it starts from now on, on these CPUs.
pub fn pin(cpus: &[usize]) {
    let mut set = CpuSet::new();
    for cpu in cpus {
        set.set(*cpu).expect("a CPU of this machine");
    }
    sched_setaffinity(Pid::from_raw(0), &set).expect("allowed CPUs");
}

/// CPU time of threads, from the scheduler, in nanoseconds.
#[derive(Clone)]
pub struct Cpu(Vec<PathBuf>);

impl Cpu {
    /// Of the threads of a process that `is_counted` by name.
    fn of(pid: u32, is_counted: impl Fn(&str) -> bool) -> Self {
        let tasks = fs::read_dir(format!("/proc/{pid}/task")).expect("the process runs");
        let tasks = tasks.flatten().map(|task| task.path()).filter(|task| {
            is_counted(fs::read_to_string(task.join("comm")).unwrap_or_default().trim())
        });
        Self(tasks.map(|task| task.join("schedstat")).collect())
    }

    pub fn read(&self) -> u64 {
        let time = |path: &PathBuf| -> Option<u64> {
            fs::read_to_string(path).ok()?.split(' ').next()?.parse().ok()
        };
        self.0.iter().filter_map(time).sum()
    }
}

/// A gateway that runs, killed when dropped.
pub struct Process(Child);

impl Process {
    pub fn start(mut command: Command, log: &Path, cpus: &[usize], own: &[usize]) -> Self {
        let log = File::create(log).expect("a file for the log");
        let both = log.try_clone().expect("the same file");
        pin(cpus);
        let child = command.stdin(Stdio::null()).stdout(log).stderr(both).spawn();
        pin(own);
        Self(child.unwrap_or_else(|error| panic!("{command:?}: {error}")))
    }

    /// Waits until it answers a request. That it accepts connections says
    /// little: Envoy does so before it has workers.
    pub async fn answers(&mut self, port: u16) {
        let give_up = Instant::now() + Duration::from_secs(120);
        while answer(port).await.is_err() {
            if let Ok(Some(status)) = self.0.try_wait() {
                panic!("a gateway ended: {status}");
            }
            assert!(Instant::now() < give_up, "nobody answers on port {port}");
            sleep(Duration::from_millis(2)).await;
        }
    }

    /// CPU time of all its threads and of those of its children.
    pub fn cpu(&self) -> Cpu {
        let children = format!("/proc/{0}/task/{0}/children", self.0.id());
        let children = fs::read_to_string(children).unwrap_or_default();
        let children = children.split_ascii_whitespace().filter_map(|pid| pid.parse().ok());
        let all = children.chain([self.0.id()]).flat_map(|pid| Cpu::of(pid, |_| true).0);
        Cpu(all.collect())
    }

    /// CPU time of Envoy's workers.
    pub fn workers_cpu(&self) -> Cpu {
        Cpu::of(self.0.id(), |name| name.starts_with("wrk:"))
    }

    /// Resident memory in MiB.
    pub fn rss(&self) -> f64 {
        let status =
            fs::read_to_string(format!("/proc/{}/status", self.0.id())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
        let kib: f64 = line.trim().trim_end_matches(" kB").parse().unwrap_or(f64::NAN);
        kib / 1024.0
    }
}

async fn answer(port: u16) -> std::io::Result<u16> {
    Connection::open(port).await?.exchange(&request(None, "")).await
}

impl Drop for Process {
    fn drop(&mut self) {
        // nginx and HAProxy have children that only a polite end takes along.
        let pid = Pid::from_raw(self.0.id() as i32);
        let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM);
        for _ in 0..500 {
            if !matches!(self.0.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
