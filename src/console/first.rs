//! What to do before the first callback: the URL for each vendor's console, and a line to try.

use maud::{Markup, html};

use super::page::Visit;
use super::text::vendor;
use crate::admin::Admin;
use crate::receipt::VendorName;
use crate::vendor::PREFIX;

pub(super) fn steps(admin: &Admin, visit: &Visit) -> Markup {
    let words = visit.words();
    let served = admin.door.served();
    let routes: Vec<(VendorName, &str)> =
        served.vendors.routes().iter().map(|route| (route.vendor.name(), route.path)).collect();
    let here = format!("http://{}", admin.public);
    html! {
        section.card {
            h2 { (words.first_title) }
            @if routes.is_empty() {
                p { (words.first_no_app) }
            } @else {
                p { (words.first_why) }
                ol {
                    li {
                        p { (words.first_url) }
                        dl.pairs {
                            @for (name, path) in &routes {
                                dt {
                                    (vendor(visit.language, *name))
                                    @if path.ends_with("/relay") { " (relay)" }
                                }
                                dd {
                                    code { "https://" (words.your_domain) (PREFIX) (path) }
                                    @if *name == VendorName::OpenIm { " " small { (words.first_openim) } }
                                }
                            }
                        }
                    }
                    li {
                        @if let Some((name, path)) = routes.first() {
                            p { (words.first_try) }
                            pre { "curl -sS --data '{}' " (here) (PREFIX) (path) }
                            p { (words.first_simulate) }
                            pre { "readhook simulate " (name) " --count 10" }
                        }
                    }
                }
            }
        }
    }
}
