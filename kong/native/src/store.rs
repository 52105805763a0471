//! Data shared by the workers of one nginx: key sets, progress of feeds, and
//! revocations, which apply on every worker at once.
//!
//! Workers are processes, and nginx's shared dictionaries can only be reached from Lua,
//! not from within a decision. So this is an LMDB map in a memory-backed file: a read
//! costs about a microsecond and no lock, a write is one transaction, and a worker that
//! dies during one leaves no partial write and no lock.
//!
//! There is one directory per master process, so that workers before and after a reload
//! share it, and nothing outlives a restart. Containers may share the place, and see
//! neither each other's processes nor other numbers for their own: so the name has the
//! master's namespace too, and each worker keeps a lock on a file there.

use std::fs::{self, DirBuilder, File, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::os::unix::process::parent_id;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use gatepass::shared_data::SharedStore;
use heed::types::{Bytes, Str};
use heed::{Database, Env, EnvFlags, EnvOpenOptions, WithoutTls};

/// The maximum size of the file. Containers get 64 MB of such memory by default.
const MAX_BYTES: usize = 48 << 20;

/// Each worker uses one reader slot; the slots of dead workers are reused.
const MAX_READERS: u32 = 1024;

const PREFIX: &str = "gatepass-";

/// Where LMDB has its readers, and enough for them: 64 bytes each.
const LOCK_FILE: &str = "lock.mdb";
const LOCK_BYTES: usize = (MAX_READERS as usize + 64) * 64;

/// Locked by each worker that uses the directory it is in.
const IN_USE: &str = "in-use";

/// How often to begin anew because somebody has removed the directory meanwhile.
const MAX_TRIES: u8 = 10;

/// The workers' data. Clones share it.
#[derive(Clone, Debug)]
pub struct Store {
    env: Env<WithoutTls>,
    map: Database<Str, Bytes>,
    /// Locked as long as this process lives.
    _in_use: Arc<File>,
}

/// The store that this process has open: LMDB forbids opening a file twice.
static OPEN: Mutex<Option<(PathBuf, Store)>> = Mutex::new(None);

impl Store {
    /// Opens the store in `directory` for the workers that have the same master as this
    /// process.
    pub fn open(directory: &Path) -> Result<Self, String> {
        Self::open_for(directory, parent_id())
    }

    fn open_for(directory: &Path, master: u32) -> Result<Self, String> {
        let path = directory.join(format!("{PREFIX}{master}-{}", namespace()));
        let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, store)) = open.as_ref().filter(|(own, _)| *own == path) {
            return Ok(store.clone());
        }
        forget_others(directory);
        let refuse = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
        let in_use = use_directory(&path).map_err(|error| refuse(&error))?;
        let store = Self::at(&path, in_use).map_err(|error| refuse(&error))?;
        *open = Some((path, store.clone()));
        Ok(store)
    }

    #[allow(unsafe_code, reason = "LMDB reads a file that is mapped into memory")]
    fn at(path: &Path, in_use: File) -> heed::Result<Self> {
        let mut options = EnvOpenOptions::new().read_txn_without_tls();
        options.map_size(MAX_BYTES).max_readers(MAX_READERS);
        reserve_lock_file(path)?;
        // SAFETY: NO_SYNC and NO_META_SYNC endanger only what survives a crash of the
        // machine; this file is in memory, and a new master starts a new one.
        unsafe { options.flags(EnvFlags::NO_SYNC | EnvFlags::NO_META_SYNC) };
        // SAFETY: changes of the file that bypass LMDB could cause invalid reads. Only this
        // user can access the directory (`own_directory`), and OPEN keeps the process from
        // opening it twice.
        let env = unsafe { options.open(path)? };
        env.clear_stale_readers()?;
        let mut txn = env.write_txn()?;
        let map = env.create_database(&mut txn, None)?;
        txn.commit()?;
        Ok(Self { env, map, _in_use: Arc::new(in_use) })
    }

    fn try_read(&self, key: &str) -> heed::Result<Option<(Vec<u8>, u32)>> {
        let txn = self.env.read_txn()?;
        let value = self.map.get(&txn, key)?.and_then(split);
        Ok(value.map(|(version, value)| (value.to_vec(), version)))
    }

    /// Replaces a value, if it may be: `may` gets its version.
    fn change(
        &self,
        key: &str,
        value: &[u8],
        may: impl FnOnce(Option<u32>) -> bool,
    ) -> heed::Result<bool> {
        let mut txn = self.env.write_txn()?;
        let current = self.map.get(&txn, key)?.and_then(split).map(|(version, _)| version);
        if !may(current) {
            return Ok(false);
        }
        let next = current.unwrap_or_default().wrapping_add(1);
        self.map.put(&mut txn, key, &[&next.to_le_bytes(), value].concat())?;
        txn.commit()?;
        Ok(true)
    }
}

/// A value starts with its version.
fn split(value: &[u8]) -> Option<(u32, &[u8])> {
    let (version, rest) = value.split_first_chunk()?;
    Some((u32::from_le_bytes(*version), rest))
}

impl SharedStore for Store {
    fn read(&self, key: &str) -> Option<(Vec<u8>, u32)> {
        // A value that cannot be read counts as missing and is fetched again.
        self.try_read(key).ok().flatten()
    }

    fn create(&self, key: &str, value: &[u8]) -> bool {
        // Most are there: a read takes no lock.
        let is_missing = matches!(self.try_read(key), Ok(None));
        is_missing && self.change(key, value, |current| current.is_none()).unwrap_or_default()
    }

    fn write(&self, key: &str, value: &[u8], version: Option<u32>) -> bool {
        let may = |current| version.is_none() || version == current;
        self.change(key, value, may).unwrap_or_default()
    }
}

/// Creates the directory, or reuses another worker's. In a world-writable place it must
/// be owned by this user and closed to all others.
fn own_directory(path: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    let found = fs::symlink_metadata(path)?;
    let own = fs::metadata("/proc/self")?.uid();
    if !found.is_dir() || found.uid() != own || found.mode() & 0o077 != 0 {
        let text = "not a directory of this user alone";
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, text));
    }
    Ok(())
}

/// Creates the directory, or reuses another worker's, and keeps others from removing it as
/// long as the file is open.
fn use_directory(path: &Path) -> io::Result<File> {
    for _ in 0..MAX_TRIES {
        own_directory(path)?;
        let lock = path.join(IN_USE);
        let file = match File::options().create(true).append(true).open(&lock) {
            // Removed since.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            file => file?,
        };
        file.lock_shared()?;
        let is_there = fs::metadata(&lock).is_ok_and(|found| {
            file.metadata().is_ok_and(|own| (own.dev(), own.ino()) == (found.dev(), found.ino()))
        });
        if is_there {
            return Ok(file);
        }
    }
    Err(io::Error::new(io::ErrorKind::ResourceBusy, "others keep removing it"))
}

/// Creates LMDB's lock file with all its memory, unless it is there. LMDB creates an empty
/// one of that length, and where no memory is left the first access ends the process.
fn reserve_lock_file(path: &Path) -> io::Result<()> {
    let file = path.join(LOCK_FILE);
    if file.exists() {
        return Ok(());
    }
    let new = path.join(format!("new-{}", std::process::id()));
    // It appears whole, and never replaces one that is in use.
    let created = fs::write(&new, vec![0; LOCK_BYTES]).and_then(|()| fs::hard_link(&new, &file));
    let removed = fs::remove_file(&new);
    match created {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => removed,
    }
}

/// The namespace in which a process has the number that this one sees; 0 if it is not known.
fn namespace() -> u64 {
    let link = fs::read_link("/proc/self/ns/pid").ok();
    let digits = link
        .as_deref()
        .and_then(Path::to_str)
        .and_then(|link| link.strip_prefix("pid:[")?.strip_suffix(']')?.parse().ok());
    digits.unwrap_or_default()
}

/// Removes the directories that nobody uses and whose master no longer runs, as far as it
/// can be seen from here. Failures are ignored.
fn forget_others(directory: &Path) {
    let own = namespace();
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    for entry in entries {
        let name = entry.file_name();
        let Some((master, of)) = name.to_str().and_then(master_of) else { continue };
        // Its workers may be about to start.
        let is_alive = of == own && Path::new("/proc").join(master.to_string()).exists();
        if !is_alive {
            remove_unused(&entry.path());
        }
    }
}

/// The master and its namespace of which a directory has the name.
fn master_of(name: &str) -> Option<(u32, u64)> {
    let (master, namespace) = name.strip_prefix(PREFIX)?.split_once('-')?;
    Some((master.parse().ok()?, namespace.parse().ok()?))
}

fn remove_unused(path: &Path) {
    // Without the file somebody is creating it at this moment.
    let Ok(file) = File::options().read(true).open(path.join(IN_USE)) else { return };
    match file.try_lock() {
        Ok(()) => {
            let _ = fs::remove_dir_all(path);
        }
        Err(TryLockError::WouldBlock | TryLockError::Error(_)) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_needs_the_version_that_was_read() {
        let directory = std::env::temp_dir().join(format!("store-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        let store = Store::open_for(&directory, std::process::id()).unwrap();
        assert_eq!(store.read("a"), None);
        assert!(store.create("a", b"1"));
        assert!(!store.create("a", b"0"), "there is one");
        let (value, version) = store.read("a").unwrap();
        assert_eq!(value, b"1");
        assert!(store.write("a", b"2", Some(version)));
        assert!(!store.write("a", b"3", Some(version)), "somebody was faster");
        assert!(!store.write("b", b"1", Some(7)), "nothing there");
        assert!(store.write("a", b"4", None), "whatever is there");
        assert_eq!(store.read("a").map(|(value, _)| value), Some(b"4".to_vec()));
        // The same store, opened by another gateway of this process.
        let again = Store::open_for(&directory, std::process::id()).unwrap();
        assert_eq!(again.read("a"), store.read("a"));
        assert!(!store.write("big", &vec![0; MAX_BYTES], None), "does not fit");
        assert!(store.write("a", b"5", None), "and harms nothing");
        fs::remove_dir_all(&directory).unwrap();
    }

    #[test]
    fn the_lock_file_has_its_memory_before_it_is_used() {
        let directory = std::env::temp_dir().join(format!("lock-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        let length = || {
            let found = fs::metadata(directory.join(LOCK_FILE)).unwrap();
            (found.len(), found.blocks() * 512 >= found.len())
        };
        reserve_lock_file(&directory).unwrap();
        assert_eq!(length(), (LOCK_BYTES as u64, true));
        let store = Store::at(&directory, use_directory_for_test(&directory)).unwrap();
        assert_eq!(length(), (LOCK_BYTES as u64, true), "LMDB has room enough in it");
        reserve_lock_file(&directory).unwrap();
        assert!(store.write("a", b"1", None));
        assert_eq!(store.read("a").map(|(value, _)| value), Some(b"1".to_vec()));
        let names = fs::read_dir(&directory).unwrap().count();
        assert_eq!(names, 3, "data.mdb, lock.mdb and in-use");
        fs::remove_dir_all(&directory).unwrap();
    }

    fn use_directory_for_test(path: &Path) -> File {
        fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
        use_directory(path).unwrap()
    }

    #[test]
    fn only_what_nobody_uses_is_removed() {
        let directory = std::env::temp_dir().join(format!("used-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        let (own, elsewhere) = (namespace(), namespace() + 1);
        let place =
            |master: u32, namespace: u64| directory.join(format!("{PREFIX}{master}-{namespace}"));
        // No process has this number.
        const NONE: u32 = 1 << 23;
        let alive = std::process::id();
        let used = [place(alive, elsewhere), place(NONE, elsewhere), place(NONE, own)];
        let locks = used.each_ref().map(|path| use_directory(path).unwrap());
        let starting = [place(alive, own), place(7, elsewhere)];
        drop(use_directory(&starting[0]).unwrap());
        own_directory(&starting[1]).unwrap();
        forget_others(&directory);
        used.iter().chain(&starting).for_each(|path| assert!(path.exists(), "{path:?}"));
        drop(locks);
        forget_others(&directory);
        used.iter().for_each(|path| assert!(!path.exists(), "{path:?}"));
        starting.iter().for_each(|path| assert!(path.exists(), "{path:?}"));
        fs::remove_dir_all(&directory).unwrap();
    }

    #[test]
    fn a_directory_of_others_is_not_used() {
        use std::os::unix::fs::PermissionsExt as _;
        let directory = std::env::temp_dir().join(format!("open-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        fs::set_permissions(&directory, fs::Permissions::from_mode(0o755)).unwrap();
        assert!(own_directory(&directory).is_err());
        let (own, file) = (directory.join("own"), directory.join("file"));
        for opened_by in ["one worker", "another"] {
            assert!(own_directory(&own).is_ok(), "{opened_by}");
        }
        fs::write(&file, "").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o700)).unwrap();
        assert!(own_directory(&file).is_err(), "a file");
        fs::remove_dir_all(&directory).unwrap();
    }
}
