//! An event's row as `rows` makes it, in CBOR as the engine takes it.

use crate::event::Event;
use crate::json::write_text;

/// The tag of a UUID.
const UUID: u8 = 37;

const UNSIGNED: u8 = 0;
const NEGATIVE: u8 = 1 << 5;
const BYTES: u8 = 2 << 5;
const TEXT: u8 = 3 << 5;
const MAP: u8 = 5 << 5;
const TAG: u8 = 6 << 5;

/// Append the row of an event that came at `now`, microseconds since the epoch. `space` is for what is made on the way.
pub fn write(to: &mut Vec<u8>, space: &mut Vec<u8>, event: &Event, now: i64) {
    let source = &event.source;
    let columns = 11 + u64::from(event.agent_id.is_some()) + u64::from(event.session_id.is_some());
    head(to, MAP, columns);
    text(to, "id");
    head(to, TAG, UUID.into());
    head(to, BYTES, 16);
    to.extend_from_slice(&event.id.bytes);
    for (name, number) in [("us", event.timestamp), ("nus", -event.timestamp), ("at", source.timestamp)] {
        text(to, name);
        integer(to, number);
    }
    for (name, value) in [("basis", event.basis), ("type", event.kind)] {
        text(to, name);
        text(to, value);
    }
    text(to, "size");
    integer(to, 1);
    text(to, "body");
    space.clear();
    write_body(space, event, now);
    head(to, TEXT, space.len() as u64);
    to.extend_from_slice(space);
    for (name, value) in [
        ("trace", Some(&*event.trace.text)),
        ("agent", event.agent_id),
        ("session", event.session_id),
        ("grp", Some(source.log_group)),
        ("stream", Some(source.log_stream)),
    ] {
        if let Some(value) = value {
            text(to, name);
            text(to, value);
        }
    }
}

/// What of an event is no column: one JSON text; what has its usual value is left out.
fn write_body(to: &mut Vec<u8>, event: &Event, now: i64) {
    let source = &event.source;
    if let Some(properties) = event.properties.as_ref().filter(|it| it.text != b"{}") {
        key(to, "properties");
        to.extend_from_slice(&properties.text);
    }
    if let Some(raw) = &event.raw {
        key(to, "raw");
        to.extend_from_slice(raw.as_bytes());
    }
    member(to, "trace_id", event.trace_id);
    member(to, "request_id", event.request_id);
    member(to, "parent_event_id", event.parent_event_id);
    key(to, "source");
    let start = to.len();
    for (name, value) in [
        ("system", source.system),
        ("account", source.account),
        ("region", source.region),
        ("log_group", source.log_group),
        ("log_stream", source.log_stream),
        ("log_id", source.log_id),
    ] {
        member(to, name, Some(value).filter(|value| !value.is_empty()));
    }
    for (name, at) in [("timestamp", Some(source.timestamp)), ("ingestion_time", source.ingestion_time)] {
        if let Some(at) = at {
            key(to, name);
            to.extend_from_slice(at.to_string().as_bytes());
        }
    }
    to[start] = b'{'; // where the first member put its comma
    to.push(b'}');
    key(to, "created_at");
    to.extend_from_slice(now.to_string().as_bytes());
    to[0] = b'{';
    to.push(b'}');
}

fn member(to: &mut Vec<u8>, name: &str, value: Option<&str>) {
    if let Some(value) = value {
        key(to, name);
        write_text(to, value);
    }
}

fn key(to: &mut Vec<u8>, name: &str) {
    to.extend_from_slice(b",\"");
    to.extend_from_slice(name.as_bytes());
    to.extend_from_slice(b"\":");
}

fn text(to: &mut Vec<u8>, value: &str) {
    head(to, TEXT, value.len() as u64);
    to.extend_from_slice(value.as_bytes());
}

fn integer(to: &mut Vec<u8>, value: i64) {
    if value < 0 {
        head(to, NEGATIVE, !value as u64);
    } else {
        head(to, UNSIGNED, value as u64);
    }
}

/// The head of a CBOR item (RFC 8949, 3): its kind, and a number.
fn head(to: &mut Vec<u8>, kind: u8, number: u64) {
    match number {
        0..=23 => to.push(kind | number as u8),
        24..=0xff => to.extend_from_slice(&[kind | 24, number as u8]),
        0x100..=0xffff => {
            to.push(kind | 25);
            to.extend_from_slice(&(number as u16).to_be_bytes());
        }
        0x1_0000..=0xffff_ffff => {
            to.push(kind | 26);
            to.extend_from_slice(&(number as u32).to_be_bytes());
        }
        _ => {
            to.push(kind | 27);
            to.extend_from_slice(&number.to_be_bytes());
        }
    }
}
