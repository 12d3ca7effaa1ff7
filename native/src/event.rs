//! What a plain event is: one record of a log, in a trace that it names, that begins and ends no window.

use std::borrow::Cow;

use serde::Deserialize;

use crate::identity::{self, Uuid};
use crate::json::{Compact, Text};
use crate::time::moment;

/// Bytes. What is longer is left to `wire`, which counts characters.
const MAX_NAME: usize = 1024;
/// Types that may begin or end a window, as `attribution` has them.
const EDGES: [&str; 5] = ["invocation_start", "invocation_end", "agent_start", "agent_end", "error"];

/// Characters, as JSON has them behind `\u00`, that an engine cannot hold, or that part the names of a stream.
const ESCAPED: [&str; 5] = ["00", "1a", "1A", "1f", "1F"];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire<'a> {
    #[serde(borrow)]
    timestamp: Text<'a>,
    #[serde(borrow)]
    event_type: Option<Text<'a>>,
    properties: Option<Compact>,
    #[serde(borrow)]
    raw: Option<Text<'a>>,
    #[serde(borrow)]
    event_id: Option<Text<'a>>,
    #[serde(borrow)]
    trace_id: Option<Text<'a>>,
    #[serde(borrow)]
    request_id: Option<Text<'a>>,
    #[serde(borrow)]
    session_id: Option<Text<'a>>,
    #[serde(borrow)]
    agent_id: Option<Text<'a>>,
    #[serde(borrow)]
    parent_event_id: Option<Text<'a>>,
    #[serde(borrow)]
    source: WireSource<'a>,
}

/// What tells of a block of several records, or of a reading, is not known here: such an event is not plain.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WireSource<'a> {
    #[serde(borrow)]
    system: Option<Text<'a>>,
    #[serde(borrow)]
    account: Option<Text<'a>>,
    #[serde(borrow)]
    region: Option<Text<'a>>,
    #[serde(borrow)]
    log_group: Option<Text<'a>>,
    #[serde(borrow)]
    log_stream: Option<Text<'a>>,
    #[serde(borrow)]
    log_id: Text<'a>,
    #[serde(borrow)]
    timestamp: Text<'a>,
    #[serde(borrow)]
    ingestion_time: Option<Text<'a>>,
    #[serde(borrow)]
    part: Option<Text<'a>>,
}

/// A plain event; times are microseconds since the epoch. No optional text is empty.
pub struct Event<'a> {
    pub id: Uuid,
    pub trace: Uuid,
    pub basis: &'static str,
    pub timestamp: i64,
    pub kind: Cow<'a, str>,
    pub properties: Option<Compact>,
    pub raw: Option<Cow<'a, str>>,
    pub trace_id: Option<Cow<'a, str>>,
    pub request_id: Option<Cow<'a, str>>,
    pub session_id: Option<Cow<'a, str>>,
    pub agent_id: Option<Cow<'a, str>>,
    pub parent_event_id: Option<Cow<'a, str>>,
    pub source: Source<'a>,
}

/// Where a plain event was logged.
pub struct Source<'a> {
    pub system: Cow<'a, str>,
    pub account: Cow<'a, str>,
    pub region: Cow<'a, str>,
    pub log_group: Cow<'a, str>,
    pub log_stream: Cow<'a, str>,
    pub log_id: Cow<'a, str>,
    pub timestamp: i64,
    pub ingestion_time: Option<i64>,
}

impl<'a> Event<'a> {
    /// Read one event's JSON; `None`: it is not plain.
    pub fn plain(json: &'a str) -> Option<Self> {
        if json.match_indices("\\u00").any(|(at, _)| json.get(at + 4..at + 6).is_none_or(|hex| ESCAPED.contains(&hex)))
        {
            return None;
        }
        let wire: Wire = serde_json::from_str(json).ok()?;
        if wire.source.part.as_ref().is_some_and(|part| part.0 != "0")
            || wire.properties.as_ref().is_some_and(|it| it.bounds)
        {
            return None;
        }
        let source = wire.source;
        let source = Source {
            system: name(source.system)?.unwrap_or_default(),
            account: name(source.account)?.unwrap_or_default(),
            region: name(source.region)?.unwrap_or_default(),
            log_group: name(source.log_group)?.unwrap_or_default(),
            log_stream: name(source.log_stream)?.unwrap_or_default(),
            log_id: name(Some(source.log_id))??,
            timestamp: moment(&source.timestamp.0)?,
            ingestion_time: match source.ingestion_time {
                Some(text) => Some(moment(&text.0)?),
                None => None,
            },
        };
        let kind = name(wire.event_type)?.unwrap_or(Cow::Borrowed("log"));
        let id = identity::event(&source)?;
        if EDGES.contains(&&*kind) || name(wire.event_id)?.is_some_and(|given| given != id.text) {
            return None;
        }
        let (trace_id, request_id, session_id) = (name(wire.trace_id)?, name(wire.request_id)?, name(wire.session_id)?);
        let (trace, basis) = if let Some(given) = &trace_id {
            (identity::given_trace(given)?, "trace_id")
        } else if let Some(given) = &request_id {
            (identity::trace(["request_id", &source.account, given])?, "request_id")
        } else {
            (identity::trace(["session_id", &source.account, session_id.as_ref()?])?, "session_id")
        };
        Some(Event {
            id,
            trace,
            basis,
            timestamp: moment(&wire.timestamp.0)?,
            kind,
            properties: wire.properties,
            raw: wire.raw.map(|text| text.0),
            trace_id,
            request_id,
            session_id,
            agent_id: name(wire.agent_id)?,
            parent_event_id: name(wire.parent_event_id)?,
            source,
        })
    }
}

/// A name, `None` for an empty one; nothing at all where it may be too long.
fn name(given: Option<Text<'_>>) -> Option<Option<Cow<'_, str>>> {
    match given {
        Some(text) if text.0.len() > MAX_NAME => None,
        given => Some(given.map(|text| text.0).filter(|text| !text.is_empty())),
    }
}
