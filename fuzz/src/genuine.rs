//! Makes a callback genuine: signs what the mutated callback holds, with the secrets of the configuration.
//! Without it the fuzzer would never get past a signature.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use http::HeaderValue;
use http::header::{AUTHORIZATION, HeaderName};
use readhook::config::Secret;

use crate::Target;
use crate::input::{Input, MOMENTS, Sign};
use crate::proof::{Easemob, PLACES, parameters, rongcloud_secrets, rongcloud_sign, tencent_sign};
use crate::setting::Setting;

/// What came of the attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Genuine {
    /// The proof is there, and whoever refuses it is wrong.
    Surely,
    /// It may hold or not: something that it needs is missing or doubtful, or nobody tried.
    Perhaps,
}

/// Signs the input if it says so.
pub fn sign(target: Target, setting: &Setting, input: &mut Input) -> Genuine {
    let signed = input.sign.and_then(|sign| match target {
        Target::Easemob => easemob(setting, input, sign),
        Target::Tencent => tencent(setting, input, sign),
        Target::OpenIm => openim(setting, input, sign),
        Target::RongCloud | Target::Relay => rongcloud(target, setting, input, sign),
    });
    if signed.is_some() { Genuine::Surely } else { Genuine::Perhaps }
}

fn pick(secrets: &[Secret], sign: Sign) -> Option<&Secret> {
    if sign.second { secrets.last() } else { secrets.first() }
}

fn digits(digits: String, sign: Sign) -> String {
    if sign.upper { digits.to_uppercase() } else { digits }
}

/// Puts the right `security` in place of the one that is there, or in front.
fn easemob(setting: &Setting, input: &mut Input, sign: Sign) -> Option<()> {
    let fields = Easemob::read(&input.body)?;
    let app = setting.config.easemob.apps.values().find(|app| app.appkey == fields.appkey)?;
    let security = digits(fields.digest(pick(&app.secrets, sign)?), sign);
    let body = match fields.security.map(|raw| raw.get()) {
        Some(old) => {
            let at = old.as_ptr().addr() - input.body.as_ptr().addr();
            let (before, behind) = (&input.body[..at], &input.body[at + old.len()..]);
            [before, b"\"", security.as_bytes(), b"\"", behind].concat()
        }
        None => {
            let at = input.body.iter().position(|byte| *byte == b'{')? + 1;
            let (before, behind) = input.body.split_at(at);
            [before, b"\"security\":\"", security.as_bytes(), b"\",", behind].concat()
        }
    };
    input.body = body;
    Some(())
}

/// Takes the parameters of these names out of the query.
fn drop_parameters(query: &mut String, names: &[&str]) {
    let stays = |pair: &&str| {
        let mut named = form_urlencoded::parse(pair.as_bytes());
        !named.next().is_some_and(|(name, _)| names.contains(&&*name))
    };
    *query = query.split('&').filter(stays).collect::<Vec<_>>().join("&");
}

/// Puts `RequestTime` and `Sign` in place of those that are there.
fn tencent(setting: &Setting, input: &mut Input, sign: Sign) -> Option<()> {
    if sign.way == 3
        && let Some(app) = setting.config.tencent.apps.values().find(|app| !app.secrets.is_empty())
    {
        // As the app that has tokens, whichever it was before: few fixtures are its own.
        drop_parameters(&mut input.query, &["SdkAppid"]);
        input.query = format!("SdkAppid={}&{}", app.sdk_app_id, input.query);
    }
    let ids = parameters(&input.query, "SdkAppid");
    let [id] = &*ids else {
        return None;
    };
    let app = setting.config.tencent.apps.values().find(|app| app.sdk_app_id == *id)?;
    let Some(token) = pick(&app.secrets, sign) else {
        // The id alone is all that this app asks for.
        return Some(());
    };
    let time = MOMENTS[usize::from(input.moment)] / 1000 + i64::from(sign.offset);
    let signature = digits(tencent_sign(token, &time.to_string()), sign);
    drop_parameters(&mut input.query, &["Sign", "RequestTime"]);
    input.query = format!("{}&Sign={signature}&RequestTime={time}", input.query);
    (sign.offset.unsigned_abs() <= 60 && time > 0).then_some(())
}

/// Brings a path token, or credentials, or comes from the right address.
fn openim(setting: &Setting, input: &mut Input, sign: Sign) -> Option<()> {
    let apps = &setting.config.openim.apps;
    if apps.values().any(|app| app.allow_unauthenticated) {
        return Some(());
    }
    match sign.way {
        0 | 1 => {
            let token = pick(&apps.get("token")?.path_tokens, sign)?;
            input.tail = format!("/{}{}", token.expose(), input.tail);
        }
        2 => {
            let credentials = pick(&apps.get("basic")?.basic_auth, sign)?;
            let field = format!("Basic {}", BASE64_STANDARD.encode(credentials.expose()));
            // In place of all that were there: two are none.
            input.headers.insert(AUTHORIZATION, HeaderValue::try_from(field).ok()?);
        }
        _ => input.client = 1 + u8::from(sign.second),
    }
    Some(())
}

/// Puts the right signature into one of the four places, over the nonce and the time that stand there, or
/// over some of its own.
fn rongcloud(target: Target, setting: &Setting, input: &mut Input, sign: Sign) -> Option<()> {
    // A signature in an earlier place would be the one that counts.
    drop_parameters(&mut input.query, &["signature", "rc-signature"]);
    for name in ["signature", "rc-signature"] {
        input.headers.remove(name);
    }
    let place = &PLACES[usize::from(sign.way)];
    let found = |names: &[&str]| -> Vec<String> {
        let values = place.values(&input.query, &input.headers, names);
        values.into_iter().map(|value| value.into_owned()).collect()
    };
    let (nonces, times) = (found(&[place.nonce]), found(place.time));
    let nonce = nonces.first().cloned().unwrap_or_else(|| "731904".to_owned());
    let time = times.first().cloned().unwrap_or_else(|| MOMENTS[0].to_string());

    let named: Vec<String> =
        place.apps(&input.query, &input.headers).into_iter().map(|app| app.into_owned()).collect();
    let apps = setting.config.rongcloud.apps.values();
    let mut apps = apps.filter(|app| !rongcloud_secrets(target, app).is_empty());
    let app = match &*named {
        [named] => apps.find(|app| app.app_key == *named),
        // One that names none is that of the only one.
        [] => apps.next().filter(|_| apps.next().is_none()),
        _ => None,
    };
    let signature = rongcloud_sign(pick(rongcloud_secrets(target, app?), sign)?, &nonce, &time);
    let signature = digits(signature, sign);
    let mut put = |name: &'static str, value: &str| match place.in_header {
        true => {
            input.headers.append(HeaderName::from_static(name), HeaderValue::try_from(value).ok()?);
            Some(())
        }
        false => {
            input.query = format!("{}&{name}={value}", input.query);
            Some(())
        }
    };
    if nonces.is_empty() {
        put(place.nonce, &nonce)?;
    }
    if times.is_empty() {
        put(place.time.first()?, &time)?;
    }
    put(place.signature, &signature)?;
    (nonces.len() <= 1 && times.len() <= 1 && !nonce.is_empty() && !time.is_empty()).then_some(())
}
