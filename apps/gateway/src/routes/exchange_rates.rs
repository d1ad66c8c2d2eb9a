//! Exchange rates, by which figures over several currencies are converted.
use crm_core::exchange_rates::{self, ExchangeRate};
use serde_json::{Value, json};

use crate::{
    call::{Call, Reply},
    endpoint::{Access, Endpoint},
    reply::Answer,
    schemas,
};

const PATH: &str = "/api/exchange-rates";
const TAG: &str = "Configuration";

/// The endpoints of exchange rates.
pub(super) fn endpoints() -> Vec<Endpoint> {
    let words = "Those named are written: a rate that is there already for the currencies and the day is changed, `null` \
                 removes it, and all others stay. A rate holds from its day on, until that of a later one.";
    let example = json!({"exchangeRates": [
        {"fromCurrency": "GBP", "toCurrency": "EUR", "effectiveOn": "2025-12-01", "rate": 1.1412},
        {"fromCurrency": "USD", "toCurrency": "GBP", "effectiveOn": "2025-12-01", "rate": null},
    ]});
    vec![
        Endpoint::get(PATH, "listExchangeRates", list)
            .says(TAG, "List exchange rates", "What a unit of one currency is worth in another, from which day on.")
            .parameters(schemas::list_parameters::<ExchangeRate>())
            .lists::<ExchangeRate>("exchangeRates", "One page."),
        Endpoint::put(PATH, "putExchangeRates", put)
            .says(TAG, "Write exchange rates", words)
            .access(Access::Manager)
            .named_schema("ExchangeRatesPut", body())
            .body("application/json", &schemas::reference("ExchangeRatesPut"))
            .example(&example)
            .answers_plain::<WrittenRates>(200, "Those of the rates named that stand now."),
    ]
}

/// The rates that a request wrote.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
struct WrittenRates {
    /// The rates, in the order of the request.
    exchange_rates: Vec<ExchangeRate>,
}

fn body() -> Value {
    let mut rate = schemas::creation::<ExchangeRate>();
    rate["required"] = json!(["fromCurrency", "effectiveOn", "rate"]);
    rate["properties"]["rate"]["type"] = json!(["number", "null"]);
    let mut properties = schemas::reason();
    properties.insert("exchangeRates".into(), json!({"type": "array", "maxItems": 1_000, "items": rate}));
    json!({"type": "object", "additionalProperties": false, "required": ["exchangeRates"], "properties": properties})
}

fn list(call: Call) -> impl Future<Output = Reply> {
    call.read(|tx, request| Answer::records(&exchange_rates::list(tx, &request.query()?)?, tx))
}

fn put(call: Call) -> impl Future<Output = Reply> {
    call.write(|tx, request| {
        exchange_rates::check_may_write(tx)?;
        Answer::json(&WrittenRates { exchange_rates: exchange_rates::put(tx, request.patch()?)? })
    })
}
