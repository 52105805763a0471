//! The basket: one a user, whatever device they use.
//!
//! | request | answer |
//! |---|---|
//! | `GET /basket` | what is in it, and what that costs the user |
//! | `POST /basket` `{"product", "quantity"}` | the same, with that many of it |

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::get;
use axum::{Extension, Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};

use super::service::{Problem, Service, Visit};

/// Of one product, in one basket.
const MOST: u32 = 9;

/// Quantities by user and product.
type Baskets = Arc<Mutex<BTreeMap<String, BTreeMap<String, u32>>>>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Change {
    product: String,
    quantity: u32,
}

pub fn router() -> Router<Service> {
    Router::new().route("/basket", get(show).post(change)).layer(Extension(Baskets::default()))
}

async fn show(
    State(service): State<Service>,
    Extension(baskets): Extension<Baskets>,
    visit: Visit,
) -> Result<Response, Problem> {
    visit.user()?;
    answer(&service, &baskets, visit).await
}

async fn change(
    State(service): State<Service>,
    Extension(baskets): Extension<Baskets>,
    visit: Visit,
    Json(change): Json<Change>,
) -> Result<Response, Problem> {
    let user = visit.user()?.to_owned();
    let catalog = visit.ask(service.trust.ports.catalog, "/catalog").await?;
    if find(catalog.content(), &change.product).is_none() {
        return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "no such product"));
    }
    {
        let mut baskets = baskets.lock().unwrap();
        let basket = baskets.entry(user).or_default();
        match change.quantity.min(MOST) {
            0 => basket.remove(&change.product),
            quantity => basket.insert(change.product, quantity),
        };
    }
    answer(&service, &baskets, visit).await
}

async fn answer(
    service: &Service,
    baskets: &Baskets,
    mut visit: Visit,
) -> Result<Response, Problem> {
    let ports = service.trust.ports;
    let catalog = visit.ask(ports.catalog, "/catalog").await?;
    let catalog = visit.take(catalog);
    let promotion = visit.ask(ports.promotions, "/promotions").await?;
    let promotion = visit.take(promotion);

    let basket = baskets.lock().unwrap().get(visit.user()?).cloned().unwrap_or_default();
    let percent = promotion["percent"].as_u64().unwrap_or(0);
    let mut total = 0;
    let mut lines = Vec::new();
    for (id, quantity) in basket {
        let Some(product) = find(&catalog, &id) else { continue };
        total += product["price"]["amount"].as_u64().unwrap_or(0) * u64::from(quantity);
        lines.push(json!({"id": id, "name": product["name"], "quantity": quantity}));
    }
    let currency = catalog[0]["price"]["currency"].clone();
    Ok(visit.answer(json!({
        "lines": lines,
        "percent_off": percent,
        "total": {"amount": total * (100 - percent) / 100, "currency": currency},
    })))
}

fn find<'a>(catalog: &'a Value, id: &str) -> Option<&'a Value> {
    catalog.as_array()?.iter().find(|product| product["id"] == id)
}
