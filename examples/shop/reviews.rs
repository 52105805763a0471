//! Reviews, by customers of the user's country.

use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::get;
use serde_json::{Value, json};

use super::service::{Problem, Service, Visit};

struct Review {
    country: &'static str,
    language: &'static str,
    product: &'static str,
    author: &'static str,
    stars: u8,
    text: &'static str,
}

const REVIEWS: [Review; 6] = [
    Review {
        country: "ES",
        language: "es",
        product: "moka-pot",
        author: "Lucía, Sevilla",
        stars: 5,
        text: "El café de la mañana, por fin como en casa de mi abuela.",
    },
    Review {
        country: "ES",
        language: "es",
        product: "hand-grinder",
        author: "Iñaki, Bilbao",
        stars: 4,
        text: "Muele fino y parejo. Pesa un poco en la mochila.",
    },
    Review {
        country: "JP",
        language: "ja",
        product: "matcha-bowl",
        author: "美咲、京都",
        stars: 5,
        text: "手にしっくりなじみ、お茶の色がきれいに映えます。",
    },
    Review {
        country: "JP",
        language: "ja",
        product: "iron-kettle",
        author: "健太、盛岡",
        stars: 4,
        text: "少し重いですが、お湯がまろやかになります。",
    },
    Review {
        country: "US",
        language: "en",
        product: "pour-over",
        author: "Dana, Portland",
        stars: 5,
        text: "A clean cup every time, and nothing in it can break.",
    },
    Review {
        country: "US",
        language: "en",
        product: "tea-tin",
        author: "Sam, Austin",
        stars: 4,
        text: "Keeps a month of tea fresh. I would like a larger one.",
    },
];

pub fn router() -> Router<Service> {
    Router::new().route("/reviews", get(list))
}

async fn list(State(service): State<Service>, mut visit: Visit) -> Result<Response, Problem> {
    visit.user()?;
    // Of the product it knows the id; the catalog knows its name.
    let catalog = visit.ask(service.trust.ports.catalog, "/catalog").await?;
    let catalog = visit.take(catalog);
    let country = visit.claim("country");
    let of_country = REVIEWS.iter().filter(|review| review.country == country);
    let reviews: Vec<Value> = of_country.map(|review| review.on(&catalog)).collect();
    Ok(visit.answer(json!(reviews)))
}

impl Review {
    fn on(&self, catalog: &Value) -> Value {
        let mut products = catalog.as_array().into_iter().flatten();
        let product = products.find(|product| product["id"] == self.product);
        json!({
            "product": product.map(|product| &product["name"]),
            "author": self.author,
            "stars": self.stars,
            "language": self.language,
            "text": self.text,
        })
    }
}
