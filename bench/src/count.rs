//! An allocator that counts what the Rust code of this program allocates.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);
/// Bytes allocated and not yet given back.
static HELD: AtomicU64 = AtomicU64::new(0);
/// A server under load is not to be slowed by being counted.
static STOPPED: AtomicBool = AtomicBool::new(false);

struct Counting;

#[global_allocator]
static COUNTING: Counting = Counting;

#[expect(unsafe_code, reason = "an allocator cannot be written otherwise; this one only passes calls on")]
// SAFETY: every call is handed to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size(), 0);
        // SAFETY: the caller keeps `System`'s contract, since it is ours.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        if !STOPPED.load(Ordering::Relaxed) {
            HELD.fetch_sub(layout.size() as u64, Ordering::Relaxed);
        }
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        count(bytes, layout.size());
        // SAFETY: as above.
        unsafe { System.realloc(pointer, layout, bytes) }
    }
}

fn count(bytes: usize, given_back: usize) {
    if !STOPPED.load(Ordering::Relaxed) {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        HELD.fetch_add(bytes as u64, Ordering::Relaxed);
        HELD.fetch_sub(given_back as u64, Ordering::Relaxed);
    }
}

/// Counts no more.
pub(crate) fn stop() {
    STOPPED.store(true, Ordering::Relaxed);
}

/// How many allocations `work` makes on a quiet process.
pub(crate) fn allocations(work: impl FnOnce()) -> u64 {
    let before = ALLOCATIONS.load(Ordering::Relaxed);
    work();
    ALLOCATIONS.load(Ordering::Relaxed) - before
}

/// How many bytes more `work` leaves allocated, on a quiet process. What SQLite and other C code hold is not
/// among them, nor what the allocator keeps of what was given back: the process's size tells of both.
pub(crate) fn bytes_kept(work: impl FnOnce()) -> u64 {
    let before = HELD.load(Ordering::Relaxed);
    work();
    HELD.load(Ordering::Relaxed).wrapping_sub(before)
}
