//! The JSON Schema of a policy file, for editors that check and complete while one types.
//!
//! It is made from the table of keys that the reader itself uses, so the two cannot differ in their keys.

use serde_json::{Map, Value, json};

use crate::keys::{self, Form, Key, Section};

/// The schema, as draft 2020-12.
pub fn schema() -> Value {
    let mut root = section(&keys::FILE);
    if let Some(root) = root.as_object_mut() {
        root.insert(
            "$schema".to_owned(),
            json!("https://json-schema.org/draft/2020-12/schema"),
        );
        root.insert("title".to_owned(), json!("Bulkhead policy"));
    }
    root
}

fn section(section: &Section) -> Value {
    let properties: Map<String, Value> = section
        .keys
        .iter()
        .map(|key| (key.name.to_owned(), property(key)))
        .collect();
    let required: Vec<&str> = section
        .keys
        .iter()
        .filter(|key| key.required)
        .map(|key| key.name)
        .collect();
    json!({ "type": "object", "description": section.about, "properties": properties, "required": required, "additionalProperties": false })
}

fn property(key: &Key) -> Value {
    let mut value = form(key.form);
    if let Some(object) = value.as_object_mut() {
        let about = if key.default.is_empty() {
            key.about.to_owned()
        } else {
            format!("{} Default: {}.", key.about, key.default)
        };
        object.insert("description".to_owned(), about.into());
    }
    value
}

fn text(pattern: &str) -> Value {
    json!({ "type": "string", "pattern": pattern })
}

fn form(of: Form) -> Value {
    match of {
        Form::Text
        | Form::Chord
        | Form::Pattern
        | Form::Selector
        | Form::Usb
        | Form::Host
        | Form::Mime => json!({ "type": "string" }),
        Form::ZoneName => text("^[a-z][a-z0-9-]{0,31}$"),
        Form::Choice(words) => json!({ "enum": words }),
        Form::Integer(least, i64::MAX) => json!({ "type": "integer", "minimum": least }),
        Form::Integer(least, most) => {
            json!({ "type": "integer", "minimum": least, "maximum": most })
        }
        Form::Boolean => json!({ "type": "boolean" }),
        Form::Instant => json!({ "type": "string", "format": "date-time" }),
        Form::Size => text("^[0-9]+ ?(B|KiB|MiB|GiB)$"),
        Form::Duration => text("^[0-9]+ ?(ms|s|min|h|day|days)$"),
        Form::CountRate => text("^[0-9]+/(s|min|h|day)$"),
        Form::ByteRate => text("^[0-9]+ ?(B|KiB|MiB|GiB)/(s|min|h|day)$"),
        Form::Hours => text("^[0-9]{2}:[0-9]{2}-[0-9]{2}:[0-9]{2}$"),
        Form::Colour => text("^#[0-9a-fA-F]{6}$"),
        Form::Hash => text("^sha256:[0-9a-f]{64}$"),
        Form::Ending => text("^[a-z0-9]{1,16}$"),
        Form::Port => text("^[0-9]{1,5}(-[0-9]{1,5})?$"),
        Form::Version => text("^[0-9]+\\.[0-9]+\\.[0-9]+$"),
        Form::List(item) => json!({ "type": "array", "items": form(*item) }),
        Form::OneOrMany(item) => {
            json!({ "oneOf": [form(*item), { "type": "array", "items": form(*item) }] })
        }
        Form::Table(of) => section(of),
        Form::Named(of) => {
            json!({ "type": "object", "propertyNames": { "pattern": "^[a-z][a-z0-9-]{0,31}$" }, "additionalProperties": section(of) })
        }
        Form::Tables(of) => json!({ "type": "array", "items": section(of) }),
    }
}

/// Every key of the language with its section's path, such as `zone.*.colour`.
pub fn all_keys() -> Vec<String> {
    fn walk(path: &str, section: &Section, list: &mut Vec<String>) {
        for key in section.keys {
            let name = format!("{path}{}", key.name);
            match key.form {
                Form::Table(inner) => walk(&format!("{name}."), inner, list),
                Form::Named(inner) => walk(&format!("{name}.*."), inner, list),
                Form::Tables(inner) => walk(&format!("{name}[]."), inner, list),
                _ => list.push(name),
            }
        }
    }
    let mut list = Vec::new();
    walk("", &keys::FILE, &mut list);
    list
}
