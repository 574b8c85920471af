//! Which jobs this process runs, in a file that outlives its being killed. Knows ids only.
//!
//! Slots of 16 bytes: a running job's id, or zeros. A write reaches the kernel, which survives the process; it is
//! not forced to the disk, because a machine that loses power says nothing of what the job did.

use std::{
    fs::{File, OpenOptions, TryLockError},
    io::{self, Read},
    os::unix::fs::FileExt,
    path::Path,
};

use uuid::Uuid;

use crate::domain::{Id, job::Job};

const SLOT_BYTES: usize = 16;
/// Jobs read from a journal at most; a process runs far fewer at once.
const SLOTS_MAX: u64 = 1_000_000;

#[derive(Debug)]
pub(super) struct Journal {
    file: File,
    slots: u64,
    free: Vec<u64>,
    /// What the last process left, and in which slots, until somebody asks.
    found: Vec<(u64, Id<Job>)>,
}

/// Where a running job is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Slot(u64);

impl Journal {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        file.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => {
                let text = format!("{} is in use by another process; give each its own data folder", path.display());
                io::Error::new(io::ErrorKind::WouldBlock, text)
            }
            TryLockError::Error(error) => error,
        })?;
        let mut bytes = Vec::new();
        Read::by_ref(&mut file).take(SLOTS_MAX * SLOT_BYTES as u64).read_to_end(&mut bytes)?;
        let (slots, _) = bytes.as_chunks::<SLOT_BYTES>();
        let mut journal = Self { file, slots: slots.len() as u64, free: Vec::new(), found: Vec::new() };
        for (at, slot) in (0u64..).zip(slots) {
            let uuid = Uuid::from_bytes(*slot);
            if uuid.is_nil() { journal.free.push(at) } else { journal.found.push((at, Id::from_uuid(uuid))) }
        }
        Ok(journal)
    }

    /// What a killed process was running. The second call finds nothing.
    pub(super) fn take_found(&mut self) -> Vec<Id<Job>> {
        let found = std::mem::take(&mut self.found);
        found
            .into_iter()
            .map(|(at, job)| {
                self.clear(Slot(at));
                job
            })
            .collect()
    }

    pub(super) fn write(&mut self, job: Id<Job>) -> io::Result<Slot> {
        let at = self.free.pop().unwrap_or(self.slots);
        match self.file.write_all_at(job.uuid().as_bytes(), at * SLOT_BYTES as u64) {
            Ok(()) => {
                self.slots = self.slots.max(at + 1);
                Ok(Slot(at))
            }
            Err(error) => {
                self.reuse(at);
                Err(error)
            }
        }
    }

    /// A slot that cannot be cleared counts one life too many for its job after a crash: said, not fatal.
    pub(super) fn clear(&mut self, slot: Slot) {
        if let Err(error) = self.file.write_all_at(&[0; SLOT_BYTES], slot.0 * SLOT_BYTES as u64) {
            tracing::warn!(%error, "the journal of running jobs cannot be written; check the data folder's disk");
        }
        self.reuse(slot.0);
    }

    fn reuse(&mut self, at: u64) {
        if at < self.slots {
            self.free.push(at);
        }
    }
}
