//! Wall clocks that are wrong, for one process each: a few lines of C that its loader puts before the C library. So it
//! needs neither rights nor a package, but the C compiler that Rust links with.

use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

use uuid::Uuid;

const SOURCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/harness/clock.c");

/// What a process is started with whose clock is ahead, or behind where that is negative.
pub(crate) fn clock_ahead(by_s: i64) -> [(&'static str, String); 2] {
    [("LD_PRELOAD", library().display().to_string()), ("CLOCK_AHEAD_SECONDS", by_s.to_string())]
}

fn library() -> &'static Path {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    LIBRARY.get_or_init(|| {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let (library, fresh) = (folder.join("clock.so"), folder.join(format!("clock-{}.so", Uuid::now_v7().simple())));
        let made = Command::new("cc").args(["-shared", "-fPIC", "-O1", "-o"]).arg(&fresh).arg(SOURCE).status();
        assert!(made.expect("a C compiler").success(), "{SOURCE} does not compile");
        // Another run of the tests may have it loaded.
        std::fs::rename(fresh, &library).expect("the library in its place");
        library
    })
}
