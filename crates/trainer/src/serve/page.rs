//! The page itself.

use maud::{Markup, PreEscaped, html};

use crate::photo::LONGEST;
use crate::recipe::Recipe;
use crate::report::page::page_with;

/// The page of the run `name`, with `test_images` to choose from.
pub fn page(name: &str, recipe: &Recipe, test_images: usize) -> String {
    let body = html! {
        h1 { (name) }
        p.faint { (recipe.network) " on " (recipe.data.source.name()) ", seed " (recipe.seed) }
        section aria-label="Try the network" {
            h2 { "Try the network" }
            div.try data-longest=(LONGEST) data-test-images=(test_images) {
                div {
                    label #drop for="file" tabindex="0" {
                        span { "Drop a photo here, or choose one" }
                        small.faint { "PNG, JPEG or WebP. It goes to this machine's trainer and nowhere else." }
                    }
                    input #file type="file" accept="image/png,image/jpeg,image/webp";
                    @if test_images > 0 {
                        button #random type="button" { "A test image at random" }
                    }
                }
                (answer())
            }
            p #error role="alert" hidden {}
        }
        section aria-label="Curves" {
            h2 { "The run" }
            p #stale role="status" hidden {}
            div #curves { p.faint { "Reading the run." } }
        }
        script { (PreEscaped(include_str!("page.js"))) }
    };
    page_with(name, include_str!("page.css"), &body)
}

/// Where an answer is shown.
fn answer() -> Markup {
    html! {
        figure #answer hidden aria-live="polite" {
            img #seen width="32" height="32" alt="the picture as the network sees it";
            div {
                p #verdict {}
                table { tbody #classes {} }
            }
            figcaption { "The picture as the network sees it: the middle square, 32 by 32 pixels." }
        }
    }
}
