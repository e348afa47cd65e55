//! The style and the script: part of the program, under names that change with what is in them, so that browsers may
//! keep them for ever.

use std::sync::LazyLock;

use axum::http::header;
use axum::response::{IntoResponse, Response};
use sha2::{Digest, Sha256};

/// A file for browsers.
pub(super) struct Asset {
    pub(super) path: String,
    content_type: &'static str,
    text: &'static str,
}

impl Asset {
    fn new(name: &str, ending: &str, content_type: &'static str, text: &'static str) -> Self {
        let digest = hex::encode(Sha256::digest(text));
        let (short, _) = digest.split_at(12);
        Self { path: format!("/assets/{name}.{short}.{ending}"), content_type, text }
    }

    pub(super) fn serve(&self) -> Response {
        let fields = [
            (header::CONTENT_TYPE, self.content_type),
            (header::CACHE_CONTROL, "public, max-age=31536000, immutable"),
        ];
        (fields, self.text).into_response()
    }
}

pub(super) fn style() -> &'static Asset {
    static STYLE: LazyLock<Asset> = LazyLock::new(|| {
        Asset::new("console", "css", "text/css; charset=utf-8", include_str!("assets/console.css"))
    });
    &STYLE
}

pub(super) fn script() -> &'static Asset {
    static SCRIPT: LazyLock<Asset> = LazyLock::new(|| {
        Asset::new("console", "js", "text/javascript; charset=utf-8", include_str!("assets/console.js"))
    });
    &SCRIPT
}
