//! The organization over HTTP.
use serde_json::json;

use crate::client::Server;

#[test]
fn the_organization_is_read_by_all_and_changed_by_admins() {
    let server = Server::start();
    let organization = server.rep().get("/api/organization").expect(200)["organization"].clone();
    assert_eq!(organization["requireWinLossReview"], true);
    assert_eq!(server.manager().patch("/api/organization", &json!({"name": "x"})).refused(403), "role_required");
    let bad = json!({"baseCurrency": "EURO", "timezone": "Nowhere", "name": ""});
    assert_eq!(server.admin().patch("/api/organization", &bad).bad_fields(), ["baseCurrency", "name", "timezone"]);
    let changed = server.admin().patch("/api/organization", &json!({"baseCurrency": "EUR"})).expect(200);
    assert_eq!(changed["organization"]["baseCurrency"], "EUR");
    let stranger = server.with(&server.house.stranger.token);
    assert_eq!(stranger.get("/api/organization").expect(200)["organization"]["baseCurrency"], "USD");
}
