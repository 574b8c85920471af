//! The worker on real parts: SQLite in a folder of its own, the embedded queue, and receivers on real sockets.

mod bench;
mod delivers;
mod holds;
mod stops;

use postrider_core::store::Work;

/// The payload at which executors panic.
const PANIC: &[u8] = b"\"panic, please\"";

pub(crate) fn panic_if_told(work: &Work) {
    assert!(work.payload.as_deref() != Some(PANIC), "as told");
}
