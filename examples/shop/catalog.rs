//! The catalog: what there is, priced in the currency of the caller's country.
//! Open to all.

use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::get;
use serde_json::{Value, json};

use super::service::{Problem, Service, Visit};

struct Product {
    id: &'static str,
    name: &'static str,
    kind: &'static str,
    /// In cents of a euro.
    price: u32,
}

const PRODUCTS: [Product; 8] = [
    Product { id: "moka-pot", name: "Moka pot", kind: "coffee", price: 34_00 },
    Product { id: "hand-grinder", name: "Hand grinder", kind: "coffee", price: 59_00 },
    Product { id: "espresso-cups", name: "Espresso cups", kind: "coffee", price: 26_00 },
    Product { id: "pour-over", name: "Pour-over dripper", kind: "coffee", price: 29_00 },
    Product { id: "matcha-bowl", name: "Matcha bowl", kind: "tea", price: 38_00 },
    Product { id: "matcha-whisk", name: "Matcha whisk", kind: "tea", price: 19_00 },
    Product { id: "iron-kettle", name: "Cast-iron kettle", kind: "tea", price: 78_00 },
    Product { id: "tea-tin", name: "Tea tin", kind: "tea", price: 14_00 },
];

pub fn router() -> Router<Service> {
    Router::new().route("/catalog", get(list)).route("/catalog/{id}", get(one))
}

async fn list(State(_): State<Service>, visit: Visit) -> Response {
    let country = visit.claim("country");
    let products: Vec<Value> = PRODUCTS.iter().map(|product| product.in_country(country)).collect();
    visit.answer(json!(products))
}

async fn one(
    State(_): State<Service>,
    Path(id): Path<String>,
    visit: Visit,
) -> Result<Response, Problem> {
    let product = PRODUCTS.iter().find(|product| product.id == id);
    let product = product.ok_or_else(|| Problem::new(StatusCode::NOT_FOUND, "no such product"))?;
    let content = product.in_country(visit.claim("country"));
    Ok(visit.answer(content))
}

impl Product {
    fn in_country(&self, country: &str) -> Value {
        // Amounts are in the smallest unit of the currency.
        let (currency, amount) = match country {
            "JP" => ("JPY", self.price * 165 / 1000 * 10),
            "US" => ("USD", self.price * 110 / 100),
            _ => ("EUR", self.price),
        };
        json!({
            "id": self.id,
            "name": self.name,
            "kind": self.kind,
            "price": {"amount": amount, "currency": currency},
        })
    }
}
