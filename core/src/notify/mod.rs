//! What somebody is told: templates, whether they may be stored, and what comes out of them. Pure: data, recipient and language are
//! arguments. Knows no store, no queue, no channel's way of sending.

mod compiled;
mod condition;
mod engine;
mod names;

pub use compiled::{CompiledType, Content, Data, Fault, Gathered, Message, RenderError, Told};
pub use condition::{CONDITION_BYTES_MAX, Condition, ConditionError};
