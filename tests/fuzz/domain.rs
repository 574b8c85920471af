//! The domain alone, which knows no database: so the targets build in a minute or two, not with all that the program needs.

#[path = "../../core/src/domain/mod.rs"]
pub mod domain;
