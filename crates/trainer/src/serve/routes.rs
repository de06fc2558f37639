//! Which request gets which answer.
//!
//! | request | answer |
//! | --- | --- |
//! | `GET /` | the page |
//! | `GET /curves` | the run so far, as a part of the page |
//! | `POST /photo` | what the network says of the PNG, JPEG or WebP in the body, as JSON |
//! | `GET /test/N` | what it says of test image N, as JSON |

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderValue, X_CONTENT_TYPE_OPTIONS,
};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use cifar10::{CLASS_NAMES, Images};
use serde_json::{Value, json};
use tokio::task::spawn_blocking;

use super::classifier::Classifier;
use super::curves::Curves;
use super::refusal::{Refusal, machine};
use super::upload::{Uploads, discard};
use super::{origin, page};
use crate::evaluation::ranked;
use crate::photo::Photo;
use crate::recipe::Recipe;
use crate::report::picture;
use crate::run::RunFolder;

const HTML: &str = "text/html; charset=utf-8";
const JSON: &str = "application/json";

/// The page may use what stands in it and what this server answers, and nothing else.
const POLICY: &str = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; \
    img-src data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// A run as a site.
#[derive(Debug)]
pub struct Site {
    page: String,
    curves: Curves,
    classifier: Classifier,
    test: Option<Images>,
    uploads: Uploads,
}

/// An answer, or why there is none.
type Answer = Result<Response, Refusal>;

impl Site {
    /// A site of the run in `folder`. Without `test` images it shows none.
    #[must_use]
    pub fn new(
        folder: RunFolder,
        recipe: Recipe,
        classifier: Classifier,
        test: Option<Images>,
    ) -> Self {
        let count = test.as_ref().map_or(0, Images::len);
        Self {
            page: page::page(&folder.name(), &recipe, count),
            curves: Curves::new(folder, recipe),
            classifier,
            test,
            uploads: Uploads::default(),
        }
    }

    /// The picture as the network sees it, every class with its probability, the most probable first,
    /// and the label where there is one.
    async fn said_of(&self, photo: Photo, label: Option<u8>) -> Answer {
        let png = picture::of_planes(&photo.pixels).map_err(|error| machine(&error))?;
        let name = |class: usize| CLASS_NAMES.get(class).copied().unwrap_or("?");
        let probabilities = self.classifier.classify(photo).await?;
        let classes: Vec<Value> = ranked(&probabilities)
            .into_iter()
            .map(|(class, probability)| json!({ "class": name(class), "probability": probability }))
            .collect();
        let said = json!({
            "picture": picture::data_uri(&png),
            "classes": classes,
            "label": label.map(|label| name(label.into())),
        });
        Ok(content(JSON, said.to_string()))
    }
}

/// The site's pages. With `this_machine_only` they are given to names of this machine only.
pub fn router(site: Site, this_machine_only: bool) -> Router {
    Router::new()
        .route("/", get(front_page))
        .route("/curves", get(curves))
        .route("/photo", post(photo))
        .route("/test/{number}", get(test_image))
        .fallback(no_such_page)
        .method_not_allowed_fallback(another_method)
        .layer(from_fn_with_state(this_machine_only, refuse_strangers))
        .layer(from_fn(add_headers))
        .with_state(Arc::new(site))
}

async fn front_page(State(site): State<Arc<Site>>) -> Response {
    content(HTML, site.page.clone())
}

async fn curves(State(site): State<Arc<Site>>) -> Answer {
    let drawn = spawn_blocking(move || site.curves.draw()).await;
    let drawn = drawn.map_err(|error| machine(&error))?;
    Ok(content(HTML, drawn.map_err(|error| machine(&error))?))
}

async fn photo(State(site): State<Arc<Site>>, body: Body) -> Answer {
    let photo = site.uploads.photo(body).await?;
    site.said_of(photo, None).await
}

async fn test_image(
    State(site): State<Arc<Site>>,
    number: Result<Path<String>, PathRejection>,
) -> Answer {
    let images = site.test.as_ref().ok_or(Refusal::NoTestImages)?;
    let last = images.len().saturating_sub(1);
    let number = number.ok().and_then(|Path(number)| number.parse().ok());
    let (pixels, label) = number
        .and_then(|number: usize| images.get(number))
        .ok_or(Refusal::NoSuchImage { last })?;
    let pixels = Box::new(*pixels);
    site.said_of(Photo { pixels }, Some(label)).await
}

async fn no_such_page(request: Request) -> Refusal {
    discard(request.into_body());
    Refusal::NoSuchPage
}

async fn another_method(request: Request) -> Refusal {
    let method = match request.uri().path() {
        "/photo" => "POST",
        _ => "GET",
    };
    discard(request.into_body());
    Refusal::Method(method)
}

/// Lets no page of another site ask, nor, where `this_machine_only`, anybody by another machine's name.
async fn refuse_strangers(
    State(this_machine_only): State<bool>,
    request: Request,
    next: Next,
) -> Response {
    let headers = request.headers();
    let refusal = if this_machine_only && !origin::names_this_machine(request.uri(), headers) {
        Refusal::Host
    } else if !origin::is_of_this_page(headers) {
        Refusal::Origin
    } else {
        return next.run(request).await;
    };
    discard(request.into_body());
    refusal.into_response()
}

async fn add_headers(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    for (name, value) in [
        (CACHE_CONTROL, "no-store"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (CONTENT_SECURITY_POLICY, POLICY),
    ] {
        response
            .headers_mut()
            .insert(name, HeaderValue::from_static(value));
    }
    response
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let sentence = json!({ "error": self.to_string() });
        (self.status(), content(JSON, sentence.to_string())).into_response()
    }
}

fn content(kind: &'static str, text: String) -> Response {
    ([(CONTENT_TYPE, kind)], text).into_response()
}
