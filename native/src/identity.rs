//! Identities as `ids` and `attribution` make them: UUIDv5 of the JSON array of some names.

use sha1::Digest;

use crate::event::Source;

const EVENTS: [u8; 16] = 0x6f1d2a5c8c0b5c57a3de5b0d64f6b1a4_u128.to_be_bytes();
const TRACES: [u8; 16] = 0xb7b9f0c25d0e5f3c9a4b1c7e02d8a6f3_u128.to_be_bytes();

/// A UUID, and its usual spelling.
pub struct Uuid {
    pub bytes: [u8; 16],
    pub text: String,
}

/// The id of a whole record; `None`: JSON would escape something in its names.
pub fn event(source: &Source) -> Option<Uuid> {
    let stream = [source.system, source.account, source.region, source.log_group, source.log_stream];
    uuid5(EVENTS, stream.into_iter().chain([source.log_id, "0"]))
}

/// The id of the trace that a client calls so; `None` as above.
pub fn given_trace(given: &str) -> Option<Uuid> {
    read_uuid(given).or_else(|| trace(["trace_id", given]))
}

/// The id of the trace with this key; `None` as above.
pub fn trace<const N: usize>(key: [&str; N]) -> Option<Uuid> {
    uuid5(TRACES, key.into_iter())
}

/// One record's share of a digest.
pub fn record_hash(id: &Uuid) -> u128 {
    first_16(&sha2::Sha256::digest(&id.text))
}

fn first_16(hash: &[u8]) -> u128 {
    hash[..16].iter().fold(0, |sum, byte| sum << 8 | u128::from(*byte))
}

fn uuid5<'a>(namespace: [u8; 16], names: impl Iterator<Item = &'a str>) -> Option<Uuid> {
    let mut hash = sha1::Sha1::new_with_prefix(namespace);
    for (index, name) in names.enumerate() {
        if name.bytes().any(|byte| byte < b' ' || byte == b'"' || byte == b'\\') {
            return None;
        }
        hash.update(if index == 0 { "[\"" } else { ",\"" });
        hash.update(name);
        hash.update("\"");
    }
    hash.update("]");
    let version = first_16(&hash.finalize()) & !(0xf << 76) | 5 << 76;
    Some(Uuid::new(version & !(0b11 << 62) | 0b10 << 62))
}

/// A UUID with hyphens or without, in small letters or capitals; `None`: it is none.
fn read_uuid(text: &str) -> Option<Uuid> {
    let hyphened = text.len() == 36 && [8, 13, 18, 23].iter().all(|&place| text.as_bytes()[place] == b'-');
    let digits = if hyphened { text.replace('-', "") } else { text.into() };
    if digits.len() != 32 || !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    u128::from_str_radix(&digits, 16).ok().map(Uuid::new)
}

impl Uuid {
    fn new(number: u128) -> Self {
        let bytes = number.to_be_bytes();
        let mut text = String::with_capacity(36);
        for (index, byte) in bytes.iter().enumerate() {
            if [4, 6, 8, 10].contains(&index) {
                text.push('-');
            }
            for digit in [byte >> 4, byte & 15] {
                text.push(char::from(b"0123456789abcdef"[usize::from(digit)]));
            }
        }
        Uuid { bytes, text }
    }
}
