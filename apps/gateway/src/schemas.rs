//! Pieces of the OpenAPI document: JSON schemas of types, records and parameters.
use crm_core::{
    Record,
    filters::span_stem,
    page::sortable,
    record::{COMMON, Field, FieldKind},
};
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

/// Adds a type and all that it refers to, and refers to it.
pub fn add<T: ToSchema>(schemas: &mut Map<String, Value>) -> Value {
    let mut found = Vec::new();
    T::schemas(&mut found);
    for (name, schema) in found {
        if let Ok(schema) = serde_json::to_value(schema) {
            schemas.insert(name, schema);
        }
    }
    let name = T::name();
    if let Ok(schema) = serde_json::to_value(T::schema()) {
        schemas.insert(name.to_string(), schema);
    }
    reference(&name)
}

/// A reference to a schema of the document.
pub fn reference(name: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{name}")})
}

/// `{"name": schema}`
pub fn envelope(name: &str, schema: Value) -> Value {
    json!({"type": "object", "required": [name], "properties": {name: schema}})
}

/// `{"name": [schema], "nextCursor": …}`
pub fn listing(name: &str, schema: Value) -> Value {
    json!({"type": "object", "required": [name, "nextCursor"], "properties": {
        name: {"type": "array", "items": schema},
        "nextCursor": {"type": ["string", "null"], "description": "Where the next page begins; null on the last."},
        "total": {"type": "integer", "description": "How many there are in all; with `count=true`."}}})
}

/// A place in an address.
pub fn place(name: &str) -> Value {
    let schema = if name.ends_with("Type") || name.ends_with("Name") || name == "source" {
        json!({"type": "string"})
    } else {
        json!({"type": "string", "format": "uuid"})
    };
    parameter("path", name, true, &schema, "")
}

/// A parameter.
pub fn parameter(place: &str, name: &str, required: bool, schema: &Value, description: &str) -> Value {
    let mut parameter = json!({"in": place, "name": name, "required": required, "schema": schema});
    if !description.is_empty() {
        parameter["description"] = description.into();
    }
    parameter
}

fn query(name: &str, schema: &Value, description: &str) -> Value {
    parameter("query", name, false, schema, description)
}

/// The parameters of a list of records, from the record's own fields.
pub fn list_parameters<R: Record>() -> Vec<Value> {
    let mut parameters = page_parameters();
    let sorts: Vec<_> = sortable::<R>().flat_map(|f| [f.name.to_owned(), format!("-{}", f.name)]).collect();
    parameters.push(query(
        "sort",
        &json!({"type": "string", "enum": sorts, "default": R::DEFAULT_SORT}),
        "One field; `-` is descending. Records without a value come last.",
    ));
    let count = "Adds `total`, which costs a count.";
    parameters.push(query("count", &json!({"type": "boolean", "default": false}), count));
    if R::SEARCHED {
        let text = "Words that must all occur, without regard to case and accents.";
        parameters.push(query("q", &json!({"type": "string"}), text));
    }
    for field in R::FIELDS.iter().chain(&COMMON).filter(|f| f.filterable) {
        filter_parameters(field, &mut parameters);
    }
    parameters
}

/// `limit` and `cursor`.
pub fn page_parameters() -> Vec<Value> {
    vec![
        query("limit", &json!({"type": "integer", "minimum": 1, "maximum": 200, "default": 50}), "How many at most."),
        query(
            "cursor",
            &json!({"type": "string"}),
            "The `nextCursor` of the page before, with the same filter and sort.",
        ),
    ]
}

fn filter_parameters(field: &Field, parameters: &mut Vec<Value>) {
    let name = field.name;
    let text = json!({"type": "string"});
    match field.kind {
        FieldKind::Choice(words) => {
            let list = json!({"type": "array", "items": {"type": "string", "enum": words}});
            let mut parameter = query(name, &list, "Any of these.");
            parameter["explode"] = false.into();
            parameters.push(parameter);
        }
        FieldKind::Reference("users") => {
            parameters.push(query(name, &text, "Ids with commas between them, `me` or `none`."));
        }
        FieldKind::Reference(_) => parameters.push(query(name, &text, "Ids with commas between them, or `none`.")),
        FieldKind::Tags => parameters.push(query(name, &text, "Words with commas between them, all of which it has.")),
        FieldKind::Bool => parameters.push(query(name, &json!({"type": "boolean"}), "")),
        FieldKind::Int => span(field, &json!({"type": "integer"}), parameters),
        FieldKind::Decimal => span(field, &json!({"type": "number"}), parameters),
        FieldKind::Date => span(field, &json!({"type": "string", "format": "date"}), parameters),
        FieldKind::Instant => span(field, &json!({"type": "string"}), parameters),
        FieldKind::Custom => {
            let example = json!({"type": "object", "additionalProperties": {"type": "string"}});
            let mut parameter = query(name, &example, "A custom field equals a value: `customFields.region=EMEA`.");
            parameter["style"] = "form".into();
            parameter["explode"] = true.into();
            parameters.push(parameter);
        }
        FieldKind::Text => {
            parameters.push(query(name, &text, "Equals."));
            parameters.push(query(&format!("{name}[contains]"), &text, "Contains, without regard to case."));
        }
        FieldKind::LongText | FieldKind::Json => {}
    }
}

fn span(field: &Field, schema: &Value, parameters: &mut Vec<Value>) {
    if let Some(stem) = span_stem(field) {
        parameters.push(query(&format!("{stem}After"), schema, "From this instant or day on."));
        parameters.push(query(&format!("{stem}Before"), schema, "Before this instant or day."));
        return;
    }
    parameters.push(query(field.name, schema, "Equals."));
    for (op, words) in [("gte", "At least."), ("lte", "At most.")] {
        parameters.push(query(&format!("{}[{op}]", field.name), schema, words));
    }
}

/// The body that creates a record: its fields without those that only rules set.
pub fn creation<R: Record>() -> Value
where
    R::Fields: ToSchema,
{
    let defaults = serde_json::to_value(R::Fields::default()).unwrap_or_default();
    let needed = |f: &&Field| f.required && matches!(defaults[f.name].as_str(), Some(""));
    let required: Vec<_> = R::FIELDS.iter().filter(|f| !f.read_only).filter(needed).map(|f| f.name).collect();
    let mut schema = settable::<R>();
    if !required.is_empty() {
        schema["required"] = json!(required);
    }
    schema
}

/// The body that changes a record: any of its fields, and why.
pub fn change<R: Record>() -> Value
where
    R::Fields: ToSchema,
{
    let mut schema = settable::<R>();
    if let Some(properties) = schema["properties"].as_object_mut() {
        properties.extend(reason());
    }
    schema
}

/// The members that say why something is changed.
pub fn reason() -> Map<String, Value> {
    let text = |longest, words: &str| json!({"type": ["string", "null"], "maxLength": longest, "description": words});
    Map::from_iter([
        ("reasonCode".to_owned(), text(100, "Why: a code of the organization's list.")),
        ("note".to_owned(), text(2_000, "Why, in words of your own.")),
    ])
}

fn settable<R: Record>() -> Value
where
    R::Fields: ToSchema,
{
    let fields = serde_json::to_value(<R::Fields as utoipa::PartialSchema>::schema()).unwrap_or_default();
    let mut properties = Map::new();
    for field in R::FIELDS.iter().filter(|f| !f.read_only) {
        let mut property = fields["properties"][field.name].clone();
        if let FieldKind::Choice(words) = field.kind {
            property["enum"] = json!(words);
        }
        properties.insert(field.name.to_owned(), property);
    }
    json!({"type": "object", "additionalProperties": false, "properties": properties})
}
