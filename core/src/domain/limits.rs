//! The named limits that do not depend on configuration, and the one that follows from it.

/// A request's body at most, in bytes, where a payload needs no more; a larger one is 413.
pub const BODY_BYTES_MAX: usize = 1024 * 1024;
/// What may stand around a payload in a body: its type, id, channels and time.
pub const ENVELOPE_BYTES_MAX: usize = 64 * 1024;
/// The most that `payload_bytes_max` may say.
pub const PAYLOAD_BYTES_MAX: usize = 1024 * 1024;
/// Events in one batch.
pub const BATCH_EVENTS_MAX: usize = 1_000;
/// Custom headers of one endpoint or HTTP request.
pub const HEADERS_MAX: usize = 32;
/// Bytes of one custom header's name.
pub const HEADER_NAME_BYTES_MAX: usize = 128;
/// Bytes of one custom header's value.
pub const HEADER_VALUE_BYTES_MAX: usize = 4096;
/// Bytes of a URL.
pub const URL_BYTES_MAX: usize = 2048;
/// Characters of a description or a name.
pub const DESCRIPTION_CHARS_MAX: usize = 1024;
/// Event types or channels in one endpoint's filter.
pub const FILTERS_MAX: usize = 100;
/// Channels of one event.
pub const CHANNELS_MAX: usize = 10;
/// Bytes of an endpoint's metadata as JSON.
pub const METADATA_BYTES_MAX: usize = 16 * 1024;
/// Attempts of one job, the first included.
pub const ATTEMPTS_MAX: u32 = 50;
/// Rows of one page of a list.
pub const PAGE_ROWS_MAX: u32 = 250;
/// Rows of a page when the caller does not say.
pub const PAGE_ROWS_DEFAULT: u32 = 50;
/// Bytes read from a receiver's answer.
pub const RESPONSE_BYTES_READ_MAX: usize = 64 * 1024;
/// Bytes of a receiver's answer that an attempt keeps.
pub const RESPONSE_BYTES_KEPT_MAX: usize = 4096;
/// Characters of an error that an attempt keeps.
pub const ERROR_CHARS_MAX: usize = 1024;
/// Lost workers after which a job is dead without running again.
pub const LOST_WORKERS_MAX: u32 = 3;
/// The same for jobs of a notification's fan-out.
pub const LOST_WORKERS_OF_CHUNKS_MAX: u32 = 20;
/// Lanes of one tenant that something is set for, those of endpoints apart.
pub const LANES_PER_TENANT_MAX: u32 = 1_000;
/// Endpoints of one tenant.
pub const ENDPOINTS_PER_TENANT_MAX: usize = 1_000;

/// A request's body at most, in bytes, where payloads may have `payload_bytes_max`: the largest of them fits in.
#[must_use]
pub const fn body_bytes_max(payload_bytes_max: usize) -> usize {
    let needed = payload_bytes_max.saturating_add(ENVELOPE_BYTES_MAX);
    if needed > BODY_BYTES_MAX { needed } else { BODY_BYTES_MAX }
}
