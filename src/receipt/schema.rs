//! The JSON Schema of a receipt, made from the type itself.

use schemars::Schema;
use schemars::generate::SchemaSettings;
use schemars::transform::{RecursiveTransform, Transform};
use serde_json::{Value, json};

use super::ReadReceipt;

/// The schema of [`ReadReceipt`], draft 2020-12. What may be absent is never null, what may be null is never absent.
pub fn schema() -> Schema {
    let mut settings = SchemaSettings::draft2020_12().for_serialize();
    settings.transforms.push(Box::new(RecursiveTransform(Strict)));
    settings.into_generator().into_root_schema_for::<ReadReceipt<'static>>()
}

/// Takes null out of every property that is not required: such a property is left out instead.
#[derive(Clone)]
struct Strict;

impl Transform for Strict {
    fn transform(&mut self, schema: &mut Schema) {
        let required = schema.get("required").and_then(Value::as_array).cloned().unwrap_or_default();
        let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) else {
            return;
        };
        for (_, property) in properties.iter_mut().filter(|(name, _)| !required.contains(&json!(name))) {
            take_null_out(property);
        }
    }
}

fn take_null_out(property: &mut Value) {
    if let Some(Value::Array(types)) = property.get_mut("type") {
        types.retain(|kind| kind != "null");
        if let [only] = types.as_slice() {
            property["type"] = only.clone();
        }
    }
    if let Some(Value::Array(choices)) = property.get_mut("anyOf") {
        choices.retain(|choice| *choice != json!({ "type": "null" }));
        if let ([Value::Object(only)], Some(property)) = (&*choices.clone(), property.as_object_mut()) {
            property.remove("anyOf");
            property.extend(only.clone());
        }
    }
}
