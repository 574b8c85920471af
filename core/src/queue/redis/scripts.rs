//! The scripts: what all share, then each one's own text.

use std::sync::LazyLock;

/// A script and its digest, by which servers know it.
#[derive(Debug)]
pub(super) struct Script {
    pub(super) name: &'static str,
    pub(super) text: &'static str,
    pub(super) digest: String,
}

impl Script {
    /// Whether it changes nothing, so that it may be run again.
    pub(super) fn reads(&self) -> bool {
        ["HELD", "HELD_BY", "SPILLED", "VIEW"].contains(&self.name)
    }
}

macro_rules! scripts {
    ($($name:ident => $file:literal),+ $(,)?) => {
        $(pub(super) static $name: LazyLock<Script> = LazyLock::new(|| {
            let text = concat!(include_str!("lua/shard.lua"), include_str!($file));
            Script { name: stringify!($name), text, digest: redis::Script::new(text).get_hash().to_owned() }
        });)+
    };
}

scripts! {
    OFFER => "lua/offer.lua",
    CLAIM => "lua/claim.lua",
    SETTLE => "lua/settle.lua",
    REASSERT => "lua/reassert.lua",
    RENEW => "lua/renew.lua",
    RETIRE => "lua/retire.lua",
    EXPIRE => "lua/expire.lua",
    EPOCH => "lua/epoch.lua",
    SETTINGS => "lua/settings.lua",
    CANCEL => "lua/cancel.lua",
    RUN_NOW => "lua/run_now.lua",
    HELD => "lua/held.lua",
    HELD_BY => "lua/held_by.lua",
    INTRODUCE => "lua/introduce.lua",
    SPILLED => "lua/spilled.lua",
    SPILL => "lua/spill.lua",
    UNSPILL => "lua/unspill.lua",
    VIEW => "lua/view.lua",
    ERASE => "lua/erase.lua",
    TELL => "lua/tell.lua",
}
