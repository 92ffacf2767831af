//! `[cors]`: which web pages may read answers.

use std::time::Duration;

use http::{HeaderValue, Uri};

use super::DAY;
use crate::config::reader::{Field, Section, shown};
use crate::config::values::{boolean, duration, header_name, list, method, parse_base_url};
use crate::config::{AllowedOrigins, Cors};

/// `None` without a `[cors]`, or with a mistake.
pub(super) fn read(section: &Section<'_>) -> Option<Cors> {
    let allowed_origins = section.get("allowed_origins", allowed_origins);
    let mut cors = Cors::for_origins(allowed_origins.clone().unwrap_or(AllowedOrigins::Any));
    section.set("allow_credentials", &mut cors.allow_credentials, boolean);
    section.set("allowed_headers", &mut cors.allowed_headers, list(header_name));
    section.set("allowed_methods", &mut cors.allowed_methods, list(method));
    section.set("exposed_headers", &mut cors.exposed_headers, list(header_name));
    section.set("max_age", &mut cors.max_age, duration(Duration::ZERO..=DAY));
    if !section.is_present() {
        return None;
    }
    let Some(field) = section.field("allowed_origins") else {
        let message = "missing: [\"*\"], or a list such as [\"https://shop.example\"]";
        section.note(section.place(), "allowed_origins", message);
        return None;
    };
    if cors.allow_credentials {
        if allowed_origins == Some(AllowedOrigins::Any) {
            let message = "any origin together with allow_credentials would hand every web page \
                           the signed-in customer's answers: list the origins";
            section.note(field.place(), "allowed_origins", message);
        }
        // With credentials, browsers take `*` for a name and not for "any" (Fetch §3.3.4).
        let starred = [
            ("allowed_headers", cors.allowed_headers.iter().any(|name| name == "*")),
            ("exposed_headers", cors.exposed_headers.iter().any(|name| name == "*")),
            ("allowed_methods", cors.allowed_methods.iter().any(|method| method == "*")),
        ];
        for (name, _) in starred.into_iter().filter(|(_, starred)| *starred) {
            if let Some(field) = section.field(name) {
                let message = "\"*\" means nothing to browsers with allow_credentials: list them";
                section.note(field.place(), name, message);
            }
        }
    }
    allowed_origins.map(|_| cors)
}

fn allowed_origins(field: &Field<'_>) -> Option<AllowedOrigins> {
    let elements = field.elements()?;
    if !elements.iter().any(|element| element.is("*")) {
        return list(web_origin)(field).map(AllowedOrigins::Listed);
    }
    match elements.len() {
        1 => Some(AllowedOrigins::Any),
        _ => field.refuse("\"*\" stands for every origin: it stands alone"),
    }
}

/// RFC 6454 §6.2's serialisation, as browsers send it in `Origin`.
fn web_origin(field: &Field<'_>) -> Option<HeaderValue> {
    let what = "an origin as browsers send it, such as \"https://shop.example\": lower case, \
                without a path, without a trailing slash, without a default port";
    let text = field.text(what)?;
    let default_port = |url: &Uri| match url.scheme_str() {
        Some("https") => url.port_u16() == Some(443),
        _ => url.port_u16() == Some(80),
    };
    let is_origin = parse_base_url(text).is_ok_and(|url| {
        let authority = url.authority().map_or("", |authority| authority.as_str());
        let scheme = url.scheme_str().unwrap_or_default();
        format!("{scheme}://{authority}") == text && !default_port(&url)
    });
    let lower_case = !text.bytes().any(|byte| byte.is_ascii_uppercase());
    match HeaderValue::from_str(text) {
        Ok(origin) if is_origin && lower_case => Some(origin),
        Ok(_) | Err(_) => field.refuse(format!("must be {what}, not {}", shown(text))),
    }
}
