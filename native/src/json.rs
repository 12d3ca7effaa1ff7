//! Properties: any JSON object, written again without spaces, as `rows` has it.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde::Deserialize;
use serde_json::value::RawValue;

/// Levels of nesting, and bytes of a key: of more, `wire` says what is wrong.
const MAX_DEPTH: usize = 64;
const MAX_KEY: usize = 256;
/// A number beyond may be an integer that was written with more than 64 bits.
const MAX_FLOAT: f64 = 9e18;

/// A JSON object's text. `bounds`: one of its own keys says of the event that it is a window's boundary, or none.
pub struct Compact {
    pub text: Vec<u8>,
    pub bounds: bool,
}

impl<'de> Deserialize<'de> for Compact {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut made = Compact { text: Vec::with_capacity(256), bounds: false };
        deserializer.deserialize_map(Writer { to: &mut made, depth: 1 })?;
        Ok(made)
    }
}

/// A text, without memory of its own where it has no escapes.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// The JSON of a text as [`write_text`] writes it, which mostly it is already; `None`: it is no text.
pub fn text(given: &RawValue) -> Option<Cow<'_, str>> {
    let json = given.get();
    if json.starts_with('"') && !json.contains("\\u") && !json.contains("\\/") {
        return Some(Cow::Borrowed(json));
    }
    let Text(text) = serde_json::from_str(json).ok()?;
    serde_json::to_string(&text).ok().map(Cow::Owned)
}

/// Writes one value.
struct Writer<'w> {
    to: &'w mut Compact,
    depth: usize,
}

/// Write a text as JSON has it.
pub fn write_text(to: &mut Vec<u8>, text: &str) {
    serde_json::to_writer(to, text).expect("memory takes all that is written");
}

impl<'de> DeserializeSeed<'de> for Writer<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Writer<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str("JSON")
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        self.to.text.extend_from_slice(b"null");
        Ok(())
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<(), E> {
        self.to.text.extend_from_slice(if value { b"true" } else { b"false" });
        Ok(())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<(), E> {
        serde_json::to_writer(&mut self.to.text, &value).map_err(E::custom)
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        self.visit_i64(i64::try_from(value).map_err(E::custom)?)
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<(), E> {
        if value.abs() > MAX_FLOAT {
            return Err(E::custom("perhaps no 64 bits"));
        }
        serde_json::to_writer(&mut self.to.text, &value).map_err(E::custom)
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<(), E> {
        write_text(&mut self.to.text, value);
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let (depth, start) = (deeper(self.depth)?, self.to.text.len());
        self.to.text.push(b'[');
        while items.next_element_seed(Writer { to: &mut *self.to, depth })?.is_some() {
            self.to.text.push(b',');
        }
        close(&mut self.to.text, start, b']');
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let (depth, start) = (deeper(self.depth)?, self.to.text.len());
        self.to.text.push(b'{');
        while let Some(Text(key)) = items.next_key()? {
            if key.len() > MAX_KEY {
                return Err(A::Error::custom("a long key"));
            }
            self.to.bounds |= self.depth == 1 && key == "run_boundary";
            write_text(&mut self.to.text, &key);
            self.to.text.push(b':');
            items.next_value_seed(Writer { to: &mut *self.to, depth })?;
            self.to.text.push(b',');
        }
        close(&mut self.to.text, start, b'}');
        Ok(())
    }
}

fn deeper<E: Error>(depth: usize) -> Result<usize, E> {
    if depth > MAX_DEPTH {
        return Err(E::custom("too deep"));
    }
    Ok(depth + 1)
}

/// End an array or object that was begun at `start`, in the place of the last comma, if it holds anything.
fn close(text: &mut Vec<u8>, start: usize, bracket: u8) {
    if text.len() > start + 1 {
        text.pop();
    }
    text.push(bracket);
}
