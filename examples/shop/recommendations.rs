//! Recommendations, by the user's country and what they ordered before.

use std::cmp::Reverse;

use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::get;
use serde_json::{Value, json};

use super::service::{Problem, Service, Visit};

pub fn router() -> Router<Service> {
    Router::new().route("/recommendations", get(list))
}

async fn list(State(service): State<Service>, mut visit: Visit) -> Result<Response, Problem> {
    visit.user()?;
    let catalog = visit.ask(service.trust.ports.catalog, "/catalog").await?;
    let catalog = visit.take(catalog);
    let ordered = visit.list("order_history");
    let favourite = match visit.claim("country") {
        "JP" => "tea",
        _ => "coffee",
    };
    let products = catalog.as_array().cloned().unwrap_or_default();
    let (known, mut others): (Vec<Value>, Vec<Value>) = products
        .into_iter()
        .partition(|product| ordered.contains(&product["id"].as_str().unwrap_or_default()));

    others.sort_by_key(|product| {
        let like_before = known.iter().any(|known| known["kind"] == product["kind"]);
        Reverse((like_before, product["kind"] == favourite))
    });
    let recommendations: Vec<Value> = others
        .into_iter()
        .take(3)
        .map(|mut product| {
            let like = known.iter().find(|known| known["kind"] == product["kind"]);
            product["because"] = match like {
                Some(known) => json!({"ordered": known["name"]}),
                None => json!({"popular_in": visit.claim("country")}),
            };
            product
        })
        .collect();
    Ok(visit.answer(json!(recommendations)))
}
