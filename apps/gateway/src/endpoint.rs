//! An endpoint as a value: method, address, who may call it, what goes in and out, and the function that answers. The
//! routes, the 405s with their `Allow`, the OpenAPI document and the coverage test are all made from one list of these.
use actix_web::{Handler, Responder, Route, guard, http::Method, web};
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

use crate::{call::Call, schemas};

/// Who may call an endpoint. The gate decides; this is what the document says and the coverage test holds it to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Access {
    /// Anybody.
    Public,
    /// Every signed-in user.
    User,
    /// MANAGER and ADMIN.
    Manager,
    /// ADMIN.
    Admin,
}

/// One operation of the API.
pub struct Endpoint {
    /// The HTTP method.
    pub method: Method,
    /// The address with its places: `/api/leads/{id}`.
    pub path: &'static str,
    /// Who may call it.
    pub access: Access,
    /// Does it take an `Idempotency-Key`? A POST of somebody who is signed in does, with few exceptions.
    pub takes_key: bool,
    /// Its entry in the OpenAPI document.
    pub operation: Map<String, Value>,
    /// The schemas that the entry refers to.
    pub schemas: Map<String, Value>,
    /// Does it honour `If-Match` although it does not answer with the version that this means?
    pub guarded: bool,
    /// Failures that it can end with beside those of its kind.
    pub failures: Vec<u16>,
    pub(crate) route: Route,
}

impl std::fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.method, self.path)
    }
}

macro_rules! methods {
    ($($name:ident $method:ident),*) => {$(
        /// An endpoint of this method.
        pub fn $name<F, Out>(path: &'static str, id: &str, handler: F) -> Self
        where
            F: Fn(Call) -> Out + Clone + 'static,
            Out: Future + 'static,
            Out::Output: Responder + 'static,
        {
            Self::new(Method::$method, path, id, handler)
        }
    )*};
}

impl Endpoint {
    methods!(get GET, post POST, put PUT, patch PATCH, delete DELETE);

    fn new<F, Out>(method: Method, path: &'static str, id: &str, handler: F) -> Self
    where
        F: Fn(Call) -> Out + Clone + 'static,
        Out: Future + 'static,
        Out::Output: Responder + 'static,
    {
        Self::routed(matching(&method).to(handler), method, path, id)
    }

    /// An endpoint whose handler takes its request apart itself: uploads.
    pub fn custom<F, Args>(method: Method, path: &'static str, id: &str, handler: F) -> Self
    where
        F: Handler<Args>,
        Args: actix_web::FromRequest + 'static,
        F::Output: Responder + 'static,
    {
        Self::routed(matching(&method).to(handler), method, path, id)
    }

    fn routed(route: Route, method: Method, path: &'static str, id: &str) -> Self {
        let mut operation = Map::new();
        operation.insert("operationId".into(), id.into());
        operation.insert("responses".into(), json!({}));
        let parameters: Vec<_> = places(path).map(schemas::place).collect();
        operation.insert("parameters".into(), parameters.into());
        let takes_key = method == Method::POST;
        let (access, schemas, failures) = (Access::User, Map::new(), Vec::new());
        Self { method, path, access, takes_key, operation, schemas, guarded: false, failures, route }
    }

    /// Says what it does: a line, and where a line is not enough, more.
    #[must_use]
    pub fn says(mut self, tag: &str, summary: &str, description: &str) -> Self {
        self.operation.insert("tags".into(), json!([tag]));
        self.operation.insert("summary".into(), summary.into());
        self.operation.insert("description".into(), description.into());
        self
    }

    /// Says who may call it. A key belongs to its sender, and the public is nobody.
    #[must_use]
    pub fn access(mut self, access: Access) -> Self {
        self.access = access;
        self.takes_key &= access != Access::Public;
        self
    }

    /// Says that its answer cannot be kept.
    #[must_use]
    pub fn without_idempotency_key(mut self) -> Self {
        self.takes_key = false;
        self
    }

    /// Says that it can fail with this status too.
    #[must_use]
    pub fn fails(mut self, status: u16) -> Self {
        self.failures.push(status);
        self
    }

    /// One more parameter of the query.
    #[must_use]
    pub fn query(mut self, name: &str, schema: &Value, description: &str) -> Self {
        self.add_parameter(schemas::parameter("query", name, false, schema, description));
        self
    }

    /// Several parameters.
    #[must_use]
    pub fn parameters(mut self, parameters: Vec<Value>) -> Self {
        for parameter in parameters {
            self.add_parameter(parameter);
        }
        self
    }

    fn add_parameter(&mut self, parameter: Value) {
        if let Some(Value::Array(list)) = self.operation.get_mut("parameters") {
            list.push(parameter);
        }
    }

    /// Takes a JSON body of this type.
    #[must_use]
    pub fn takes<T: ToSchema>(mut self) -> Self {
        let reference = self.schema::<T>();
        self.body("application/json", &reference)
    }

    /// Takes a JSON body of this type, beside the reason for what it asks.
    #[must_use]
    pub fn commands<T: ToSchema>(mut self) -> Self {
        self.schema::<T>();
        let name = format!("{}Command", T::name());
        let mut schema = self.schemas.get(&*T::name()).cloned().unwrap_or_default();
        if let Some(properties) = schema["properties"].as_object_mut() {
            properties.extend(schemas::reason());
        }
        self.named_schema(&name, schema).body("application/json", &schemas::reference(&name))
    }

    /// Takes the reason for what it asks, and needs no body.
    #[must_use]
    pub fn reasoned(self) -> Self {
        let schema = json!({"type": "object", "additionalProperties": false, "properties": schemas::reason()});
        let mut endpoint = self.named_schema("Reason", schema).body("application/json", &schemas::reference("Reason"));
        endpoint.operation["requestBody"]["required"] = false.into();
        endpoint
    }

    /// Honours `If-Match`, although it does not answer with the version that this means.
    #[must_use]
    pub fn guarded(mut self) -> Self {
        self.guarded = true;
        self
    }

    /// Takes a body of this content type and schema.
    #[must_use]
    pub fn body(mut self, content_type: &str, schema: &Value) -> Self {
        self.operation
            .insert("requestBody".into(), json!({"required": true, "content": {content_type: {"schema": schema}}}));
        self
    }

    /// Shows a body.
    #[must_use]
    pub fn example(mut self, example: &Value) -> Self {
        if let Some(content) = self.operation.get_mut("requestBody").and_then(|b| b["content"].as_object_mut()) {
            for media in content.values_mut() {
                media["example"] = example.clone();
            }
        }
        self
    }

    /// Answers with `{"name": T}`.
    #[must_use]
    pub fn answers<T: ToSchema>(self, status: u16, name: &str, description: &str) -> Self {
        self.answers_with::<T>(status, description, |schema| schemas::envelope(name, schema))
    }

    /// Answers with a list of `T` under `name`.
    #[must_use]
    pub fn lists<T: ToSchema>(self, name: &str, description: &str) -> Self {
        self.answers_with::<T>(200, description, |schema| schemas::listing(name, schema))
    }

    /// Answers with a `T` that has no envelope.
    #[must_use]
    pub fn answers_plain<T: ToSchema>(self, status: u16, description: &str) -> Self {
        self.answers_with::<T>(status, description, |schema| schema)
    }

    fn answers_with<T: ToSchema>(
        mut self,
        status: u16,
        description: &str,
        around: impl FnOnce(Value) -> Value,
    ) -> Self {
        let schema = around(self.schema::<T>());
        self.answer(status, description, Some(("application/json", schema)))
    }

    /// Answers without a body.
    #[must_use]
    pub fn answers_nothing(self, description: &str) -> Self {
        self.answer(204, description, None)
    }

    /// Answers with this schema.
    #[must_use]
    pub fn answer(mut self, status: u16, description: &str, content: Option<(&str, Value)>) -> Self {
        let mut response = json!({"description": description});
        if let Some((content_type, schema)) = content {
            response["content"] = json!({content_type: {"schema": schema}});
        }
        if let Some(Value::Object(responses)) = self.operation.get_mut("responses") {
            responses.insert(status.to_string(), response);
        }
        self
    }

    /// Adds a type to the document's schemas and refers to it.
    pub fn schema<T: ToSchema>(&mut self) -> Value {
        schemas::add::<T>(&mut self.schemas)
    }

    /// Adds a type to the document's schemas.
    #[must_use]
    pub fn with_schema<T: ToSchema>(mut self) -> Self {
        self.schema::<T>();
        self
    }

    /// Adds a schema under a name and refers to it.
    #[must_use]
    pub fn named_schema(mut self, name: &str, schema: Value) -> Self {
        self.schemas.insert(name.to_owned(), schema);
        self
    }
}

/// A route of this method. What answers GET answers HEAD too (RFC 9110, 9.3.2).
fn matching(method: &Method) -> Route {
    if *method == Method::GET {
        return web::route().guard(guard::Any(guard::Get()).or(guard::Head()));
    }
    web::method(method.clone())
}

/// The names of the places in an address.
pub fn places(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
}
