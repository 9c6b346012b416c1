//! An element as a JSON text.

use quick_xml::Reader;
use quick_xml::escape::resolve_predefined_entity;
use quick_xml::events::{BytesRef, BytesStart, Event};

use crate::table::json::quote;

/// An element that is being read.
#[derive(Debug, Default)]
struct Element {
    is_nil: bool,
    attributes: Vec<(String, String)>,
    /// JSON texts of its children by name, in the order in which the names first came.
    children: Vec<(String, Vec<String>)>,
    text: String,
}

/// The JSON text of an element that is written in these bytes, or what is wrong with them.
pub(super) fn to_json(xml: &[u8], nulls: &[String], max_depth: usize) -> Result<String, String> {
    let mut reader = Reader::from_reader(xml);
    let mut open: Vec<(String, Element)> = Vec::new();
    loop {
        let event = reader.read_event().map_err(|error| error.to_string())?;
        let closed = match event {
            Event::Start(start) => {
                if open.len() >= max_depth {
                    return Err("too many levels of nesting".to_owned());
                }
                open.push(element(&start)?);
                continue;
            }
            Event::Empty(start) => Some(element(&start)?),
            Event::End(_) => open.pop(),
            Event::Text(text) => {
                let text = text.decode().map_err(|error| error.to_string())?;
                push(&mut open, &text);
                continue;
            }
            Event::CData(text) => {
                let text = text.decode().map_err(|error| error.to_string())?;
                push(&mut open, &text);
                continue;
            }
            Event::GeneralRef(reference) => {
                push(&mut open, &resolved(&reference)?);
                continue;
            }
            Event::Eof => return Err("the element ends too early".to_owned()),
            Event::Comment(_) | Event::Decl(_) | Event::PI(_) | Event::DocType(_) => continue,
        };
        let Some((name, element)) = closed else {
            return Err("a tag closes nothing".to_owned());
        };
        let json = element.json(nulls);
        match open.last_mut() {
            None => return Ok(json),
            Some((_, parent)) => parent.push(name, json),
        }
    }
}

fn push(open: &mut [(String, Element)], text: &str) {
    if let Some((_, element)) = open.last_mut() {
        element.text.push_str(text);
    }
}

fn element(start: &BytesStart<'_>) -> Result<(String, Element), String> {
    let mut element = Element::default();
    for attribute in start.attributes() {
        let attribute = attribute.map_err(|error| error.to_string())?;
        let name = text_of(attribute.key.as_ref())?;
        let value = attribute
            .unescape_value()
            .map_err(|error| error.to_string())?
            .into_owned();
        if name == "xmlns" || name.starts_with("xmlns:") {
            continue;
        }
        if attribute.key.local_name().as_ref() == b"nil" && attribute.key.prefix().is_some() {
            element.is_nil = value == "true" || value == "1";
            continue;
        }
        element.attributes.push((format!("@{name}"), value));
    }
    Ok((text_of(start.name().as_ref())?, element))
}

fn text_of(bytes: &[u8]) -> Result<String, String> {
    String::from_utf8(bytes.to_vec()).map_err(|_| "a name is not UTF-8".to_owned())
}

/// Only the entities that XML itself has: a document's own could be made to grow without bound.
fn resolved(reference: &BytesRef<'_>) -> Result<String, String> {
    if let Some(character) = reference
        .resolve_char_ref()
        .map_err(|error| error.to_string())?
    {
        return Ok(character.to_string());
    }
    let name = reference.decode().map_err(|error| error.to_string())?;
    resolve_predefined_entity(&name)
        .map(str::to_owned)
        .ok_or_else(|| format!("the entity `&{name};` is not one of XML's own"))
}

impl Element {
    fn push(&mut self, name: String, json: String) {
        match self.children.iter_mut().find(|(known, _)| *known == name) {
            Some((_, values)) => values.push(json),
            None => self.children.push((name, vec![json])),
        }
    }

    fn json(self, nulls: &[String]) -> String {
        let has_fields = !self.attributes.is_empty() || !self.children.is_empty();
        // Blanks between children are layout.
        let text = if has_fields {
            self.text.trim()
        } else {
            self.text.as_str()
        };
        let scalar = |text: &str| {
            if nulls.iter().any(|null| null == text) {
                return "null".to_owned();
            }
            let mut json = String::with_capacity(text.len() + 2);
            quote(&mut json, text);
            json
        };
        if !has_fields {
            return if self.is_nil {
                "null".to_owned()
            } else {
                scalar(text)
            };
        }
        let mut json = String::from("{");
        let mut field = |name: &str, value: &str| {
            if json.len() > 1 {
                json.push(',');
            }
            quote(&mut json, name);
            json.push(':');
            json.push_str(value);
        };
        for (name, value) in &self.attributes {
            field(name, &scalar(value));
        }
        for (name, values) in &self.children {
            match values.as_slice() {
                [value] => field(name, value),
                values => field(name, &format!("[{}]", values.join(","))),
            }
        }
        if !text.is_empty() {
            field("#text", &scalar(text));
        }
        json.push('}');
        json
    }
}
