//! Promotions, by what kind of customer the user is.

use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::get;
use serde_json::json;

use super::service::{Problem, Service, Visit};

pub fn router() -> Router<Service> {
    Router::new().route("/promotions", get(current))
}

async fn current(State(_): State<Service>, visit: Visit) -> Result<Response, Problem> {
    visit.user()?;
    let promotion = match visit.claim("customer_type") {
        "premium" => json!({
            "title": "15% off, because you are premium",
            "text": "Taken off in your basket. Shipping is free.",
            "percent": 15,
        }),
        _ => json!({
            "title": "Become premium, save 15%",
            "text": "With your next order, and free shipping for a year.",
            "percent": 0,
        }),
    };
    Ok(visit.answer(promotion))
}
