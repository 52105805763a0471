//! How much memory a thread holds, and how often it asked for some.
#![allow(unsafe_code, reason = "an allocator is")]
#![allow(dead_code, reason = "no test binary uses all of it")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    static HELD: Cell<isize> = const { Cell::new(0) };
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
    static BLOCKS: Cell<isize> = const { Cell::new(0) };
}

struct Counted;

#[global_allocator]
static ALLOCATOR: Counted = Counted;

fn count(bytes: isize) {
    // None at the end of the thread.
    let _ = HELD.try_with(|held| held.set(held.get() + bytes));
    let _ = BLOCKS.try_with(|blocks| blocks.set(blocks.get() + bytes.signum()));
    if bytes > 0 {
        let _ = ALLOCATIONS.try_with(|count| count.set(count.get() + 1));
    }
}

// SAFETY: every call is the system allocator's.
unsafe impl GlobalAlloc for Counted {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size().cast_signed());
        // SAFETY: the caller keeps the contract of `GlobalAlloc::alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-layout.size().cast_signed());
        // SAFETY: the caller keeps the contract of `GlobalAlloc::dealloc`.
        unsafe { System.dealloc(pointer, layout) }
    }
}

/// The bytes that this thread holds: what it asked for, and has not given back.
pub fn held() -> usize {
    HELD.get().max(0).cast_unsigned()
}

/// How often this thread asked for memory; to make a block larger is to ask again.
pub fn allocations() -> u64 {
    ALLOCATIONS.get()
}

/// In how many blocks that is.
pub fn blocks() -> usize {
    BLOCKS.get().max(0).cast_unsigned()
}
