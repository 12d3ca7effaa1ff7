//! What a plain event is: one record of a log, in a trace that it names, that begins and ends no window.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::identity::{self, Uuid};
use crate::json::{self, Compact};
use crate::time::moment;

/// Bytes. What is longer is left to `wire`, which counts characters.
const MAX_NAME: usize = 1024;
/// Types that may begin or end a window, as `attribution` has them.
const EDGES: [&str; 5] = ["invocation_start", "invocation_end", "agent_start", "agent_end", "error"];
/// Characters, as JSON has them behind `\u00`, that an engine cannot hold, or that part the names of a stream.
const ESCAPED: [&str; 5] = ["00", "1a", "1A", "1f", "1F"];

/// Names are parts of the body, so that one with an escape in it is not plain.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire<'a> {
    timestamp: &'a str,
    event_type: Option<&'a str>,
    properties: Option<Compact>,
    #[serde(borrow)]
    raw: Option<&'a RawValue>,
    event_id: Option<&'a str>,
    trace_id: Option<&'a str>,
    request_id: Option<&'a str>,
    session_id: Option<&'a str>,
    agent_id: Option<&'a str>,
    parent_event_id: Option<&'a str>,
    #[serde(borrow)]
    source: WireSource<'a>,
}

/// What tells of a block of several records, or of a reading, is not known here: such an event is not plain.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WireSource<'a> {
    system: Option<&'a str>,
    account: Option<&'a str>,
    region: Option<&'a str>,
    log_group: Option<&'a str>,
    log_stream: Option<&'a str>,
    log_id: &'a str,
    timestamp: &'a str,
    ingestion_time: Option<&'a str>,
    part: Option<&'a str>,
}

/// A plain event; times are microseconds since the epoch. No optional name is empty.
pub struct Event<'a> {
    pub id: Uuid,
    pub trace: Uuid,
    pub basis: &'static str,
    pub timestamp: i64,
    pub kind: &'a str,
    pub properties: Option<Compact>,
    /// As JSON.
    pub raw: Option<Cow<'a, str>>,
    pub trace_id: Option<&'a str>,
    pub request_id: Option<&'a str>,
    pub session_id: Option<&'a str>,
    pub agent_id: Option<&'a str>,
    pub parent_event_id: Option<&'a str>,
    pub source: Source<'a>,
}

/// Where a plain event was logged.
pub struct Source<'a> {
    pub system: &'a str,
    pub account: &'a str,
    pub region: &'a str,
    pub log_group: &'a str,
    pub log_stream: &'a str,
    pub log_id: &'a str,
    pub timestamp: i64,
    pub ingestion_time: Option<i64>,
}

impl<'a> Event<'a> {
    /// Read one event's JSON; `None`: it is not plain.
    pub fn plain(encoded: &'a str) -> Option<Self> {
        let escaped = |(at, _)| encoded.get(at + 4..at + 6).is_none_or(|hex| ESCAPED.contains(&hex));
        if encoded.match_indices("\\u00").any(escaped) {
            return None;
        }
        let wire: Wire = serde_json::from_str(encoded).ok()?;
        if wire.properties.as_ref().is_some_and(|properties| properties.bounds) {
            return None;
        }
        let source = Source::plain(wire.source)?;
        let kind = name(wire.event_type)?.unwrap_or("log");
        let id = identity::event(&source)?;
        if EDGES.contains(&kind) || name(wire.event_id)?.is_some_and(|given| given != id.text) {
            return None;
        }
        let (trace_id, request_id, session_id) = (name(wire.trace_id)?, name(wire.request_id)?, name(wire.session_id)?);
        let (trace, basis) = if let Some(given) = trace_id {
            (identity::given_trace(given)?, "trace_id")
        } else if let Some(given) = request_id {
            (identity::trace(["request_id", source.account, given])?, "request_id")
        } else {
            (identity::trace(["session_id", source.account, session_id?])?, "session_id")
        };
        Some(Event {
            id,
            trace,
            basis,
            timestamp: moment(wire.timestamp)?,
            kind,
            properties: wire.properties,
            raw: match wire.raw {
                Some(raw) => Some(json::text(raw)?),
                None => None,
            },
            trace_id,
            request_id,
            session_id,
            agent_id: name(wire.agent_id)?,
            parent_event_id: name(wire.parent_event_id)?,
            source,
        })
    }
}

impl<'a> Source<'a> {
    fn plain(wire: WireSource<'a>) -> Option<Self> {
        if wire.part.is_some_and(|part| part != "0") {
            return None;
        }
        Some(Source {
            system: name(wire.system)?.unwrap_or(""),
            account: name(wire.account)?.unwrap_or(""),
            region: name(wire.region)?.unwrap_or(""),
            log_group: name(wire.log_group)?.unwrap_or(""),
            log_stream: name(wire.log_stream)?.unwrap_or(""),
            log_id: name(Some(wire.log_id))??,
            timestamp: moment(wire.timestamp)?,
            ingestion_time: match wire.ingestion_time {
                Some(text) => Some(moment(text)?),
                None => None,
            },
        })
    }
}

/// A name, `None` for an empty one; nothing at all where it may be too long.
fn name(given: Option<&str>) -> Option<Option<&str>> {
    match given {
        Some(text) if text.len() > MAX_NAME => None,
        given => Some(given.filter(|text| !text.is_empty())),
    }
}
