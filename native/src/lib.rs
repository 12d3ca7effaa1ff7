//! VectaDB's ingest of plain events, compiled: from a batch's JSON to the rows that the engine takes.
//!
//! It never judges. An event that is anything but plain is left to `vectadb_server.wire`, which says what is right and
//! what is wrong with it; of a plain one the server's own modules would have made the same row. Its test
//! `test_plain_events.py` holds the two against each other.
//!
//! The way of a batch: [`read`] cuts it into events, [`event`] reads each and says whether it is plain, [`identity`]
//! gives it its id and trace, and [`row`] writes its row.

mod event;
mod identity;
mod json;
mod row;
mod time;

use std::collections::HashMap;

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::event::Event;

/// Of the rows. It changes where the server's do, which does not use another one.
const FORM: u8 = 1;

/// Microseconds.
const MINUTE: i64 = 60_000_000;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

#[derive(Deserialize)]
struct Batch<'a> {
    #[serde(borrow)]
    events: Vec<&'a RawValue>,
    #[serde(borrow)]
    options: Option<&'a RawValue>,
}

/// Of a [`GroupHour`] how many records it has, and the sum of their hashes.
type Digest = ((String, String, String, String, i64), u64, u128);
/// Log group, system, account, region and start of an hour.
type GroupHour<'a> = (&'a str, &'a str, &'a str, &'a str, i64);
/// Start of a minute, agent and type.
type Kind<'a> = (i64, &'a str, &'a str);

/// The plain events of a batch, which are of one day, and where the others are. Times are microseconds since the epoch.
#[pyclass(frozen)]
struct Plain {
    /// Events in the batch, plain or not.
    #[pyo3(get)]
    count: usize,
    /// Index and JSON of each that is not plain.
    #[pyo3(get)]
    left: Vec<(usize, Py<PyBytes>)>,
    /// Index, id and trace of each plain one.
    #[pyo3(get)]
    indexes: Vec<usize>,
    #[pyo3(get)]
    ids: Py<PyList>,
    #[pyo3(get)]
    traces: Py<PyList>,
    /// Their rows in CBOR, one behind the other.
    #[pyo3(get)]
    rows: Py<PyBytes>,
    /// When they came, when the first was logged, and the first and last of their own times.
    #[pyo3(get)]
    now: i64,
    #[pyo3(get)]
    recorded: i64,
    #[pyo3(get)]
    least: i64,
    #[pyo3(get)]
    most: i64,
    #[pyo3(get)]
    digests: Vec<Digest>,
    #[pyo3(get)]
    kinds: Py<PyList>,
    body: Py<PyBytes>,
    spans: Vec<(usize, usize)>,
}

#[pymethods]
impl Plain {
    /// The JSON of each plain event.
    fn pieces<'py>(&self, py: Python<'py>) -> Vec<Bound<'py, PyBytes>> {
        let body = self.body.as_bytes(py);
        self.spans.iter().map(|&(start, end)| PyBytes::new(py, &body[start..end])).collect()
    }
}

/// Read a batch's body, which came at `now`, microseconds since the epoch. No event of over `limit` bytes is plain.
///
/// `None`: none of it is plain, or it has options, or it is not strict JSON of a batch's shape.
#[pyfunction]
fn read(py: Python<'_>, body: Bound<'_, PyBytes>, now: i64, limit: usize) -> PyResult<Option<Plain>> {
    let Ok(text) = std::str::from_utf8(body.as_bytes()) else { return Ok(None) };
    let Ok(batch) = serde_json::from_str::<Batch>(text) else { return Ok(None) };
    if batch.options.is_some_and(|options| options.get() != "null") {
        return Ok(None);
    }
    let mut events: Vec<Event> = Vec::with_capacity(batch.events.len());
    let (mut indexes, mut spans, mut left) = (Vec::new(), Vec::new(), Vec::new());
    for (index, json) in batch.events.iter().map(|raw| raw.get()).enumerate() {
        let is_of_the_day = |event: &Event| {
            events.first().is_none_or(|first| first.source.timestamp / DAY == event.source.timestamp / DAY)
        };
        match Event::plain(json).filter(|event| json.len() <= limit && is_of_the_day(event)) {
            Some(event) => {
                let start = json.as_ptr() as usize - text.as_ptr() as usize;
                spans.push((start, start + json.len()));
                indexes.push(index);
                events.push(event);
            }
            None => left.push((index, PyBytes::new(py, json.as_bytes()).unbind())),
        }
    }
    if events.is_empty() {
        return Ok(None);
    }
    let ids = PyList::new(py, events.iter().map(|event| &*event.id.text))?;
    let mut rows = Vec::with_capacity(text.len() + events.len() * 256);
    let mut space = Vec::new();
    events.iter().for_each(|event| row::write(&mut rows, &mut space, event, now));
    Ok(Some(Plain {
        count: batch.events.len(),
        left,
        indexes,
        traces: PyList::new(py, events.iter().map(|event| &*event.trace.text))?.unbind(),
        rows: PyBytes::new(py, &rows).unbind(),
        now,
        recorded: events.iter().map(|event| event.source.timestamp).min().unwrap_or(now),
        least: events.iter().map(|event| event.timestamp).min().unwrap_or(now),
        most: events.iter().map(|event| event.timestamp).max().unwrap_or(now),
        digests: digests(&events),
        kinds: kinds(&events, &ids)?.unbind(),
        ids: ids.unbind(),
        body: body.unbind(),
        spans,
    }))
}

fn digests(events: &[Event]) -> Vec<Digest> {
    let mut found: HashMap<GroupHour, (u64, u128)> = HashMap::new();
    for event in events {
        let at = &event.source;
        let hour = at.timestamp / HOUR * HOUR;
        let (count, sum) = found.entry((at.log_group, at.system, at.account, at.region, hour)).or_default();
        *count += 1;
        *sum = sum.wrapping_add(identity::record_hash(&event.id));
    }
    let owned = |(group, system, account, region, hour): GroupHour| {
        (group.into(), system.into(), account.into(), region.into(), hour)
    };
    found.into_iter().map(|(group, (count, sum))| (owned(group), count, sum)).collect()
}

/// Of each [`Kind`] the ids of its events.
fn kinds<'py>(events: &[Event], ids: &Bound<'py, PyList>) -> PyResult<Bound<'py, PyList>> {
    let mut found: HashMap<Kind, Vec<Bound<'py, PyAny>>> = HashMap::new();
    for (event, id) in events.iter().zip(ids) {
        let kind = (event.timestamp / MINUTE * MINUTE, event.agent_id.unwrap_or(""), event.kind);
        found.entry(kind).or_default().push(id);
    }
    PyList::new(ids.py(), found)
}

#[pymodule]
fn vectadb_native(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("FORM", FORM)?;
    module.add_class::<Plain>()?;
    module.add_function(wrap_pyfunction!(read, module)?)
}
