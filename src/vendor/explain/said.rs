//! What a step can say. Each sentence has a name of its own, so that it can be said in another language.

use super::Verdict::{self, Failed, Ok, Skipped};

/// A sentence about a step.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Phrase {
    pub(crate) step: &'static str,
    pub(crate) result: Verdict,
    pub(crate) code: &'static str,
    pub(crate) text: &'static str,
}

macro_rules! phrases {
    ($($name:ident $step:literal $result:ident $code:literal $text:literal;)*) => {
        $(pub(crate) const $name: Phrase =
            Phrase { step: $step, result: $result, code: $code, text: $text };)*
        /// Every sentence.
        pub(crate) const ALL: &[Phrase] = &[$($name),*];
    };
}

phrases! {
    ROUTE_FITS "route" Ok "route_fits" "The path is a route of this vendor.";
    ROUTE_ELSEWHERE "route" Failed "route_elsewhere" "The path is a route of readhook, but another vendor's.";
    ROUTE_UNKNOWN "route" Failed "route_unknown" "Nothing is served at this path.";

    BODY_READABLE "body" Ok "body_readable" "The body can be read.";
    BODY_UNREADABLE "body" Failed "body_unreadable" "The body cannot be read.";
    BODY_TOO_LARGE "body" Failed "body_too_large" "The body is larger than server.body_limit_bytes.";
    BODY_SKIPPED "body" Skipped "body_skipped" "It did not come so far that its body was read.";

    READ_EVENT "event" Ok "read_event" "It is a read event.";
    NEIGHBOUR "event" Ok "neighbour" "It is no read event. It is answered so that the vendor's own business goes on, and nothing is stored.";
    COMMAND_MISSING "event" Failed "command_missing" "The query names no CallbackCommand.";
    COMMAND_REPEATED "event" Failed "command_repeated" "The query names CallbackCommand more than once.";
    COMMAND_CONTRADICTING "event" Failed "command_contradicting" "The CallbackCommand of the body is not that of the query.";

    APP_KNOWN "app" Ok "app_known" "The app is configured.";
    APP_ALONE "app" Ok "app_alone" "It names no app, and exactly one is configured: it is taken for that.";
    APP_UNKNOWN "app" Failed "app_unknown" "The app that it names is not configured.";
    APP_MISSING "app" Failed "app_missing" "It names no app.";
    APP_REPEATED "app" Failed "app_repeated" "It names its app more than once.";

    SIGNATURE_THERE "signature" Ok "signature_there" "The signature and the values that it covers are there.";
    SIGNATURE_MISSING "signature" Failed "signature_missing" "The signature, or a value that it covers, is missing.";
    SIGNATURE_REPEATED "signature" Failed "signature_repeated" "The signature, or a value that it covers, is there more than once; neither counts.";

    PROOF_FITS "proof" Ok "proof_fits" "This secret gives the signature that came.";
    PROOF_DIFFERS "proof" Failed "proof_differs" "This secret gives another signature.";
    PROOF_MORE "proof" Skipped "proof_more" "Further secrets were tried and are not shown.";
    PROOF_NEIGHBOUR "proof" Skipped "proof_neighbour" "What is no read event need not prove itself: nothing is done with it.";
    PROOF_APP_ID "proof" Ok "proof_app_id" "The app has no callback token: its SdkAppid alone lets a callback in.";
    PROOF_NO_APP "proof" Skipped "proof_no_app" "Without an app there is no secret to check against.";
    TOKEN_FITS "proof" Ok "token_fits" "The first segment of the path is a token of the app.";
    TOKEN_DIFFERS "proof" Failed "token_differs" "The first segment of the path is no token of the app.";
    TOKEN_MISSING "proof" Failed "token_missing" "The path holds no token.";
    BASIC_FITS "proof" Ok "basic_fits" "The Basic credentials are the app's.";
    BASIC_DIFFERS "proof" Failed "basic_differs" "The Basic credentials are not the app's.";
    BASIC_MISSING "proof" Failed "basic_missing" "There are no Basic credentials that can be read.";
    ADDRESS_ALLOWED "proof" Ok "address_allowed" "The client's address is one of allowed_ips.";
    ADDRESS_REFUSED "proof" Failed "address_refused" "The client's address is none of allowed_ips.";
    ANYBODY "proof" Ok "anybody" "The app takes callbacks from anybody (allow_unauthenticated).";

    TIME_FITS "time" Ok "time_fits" "The signed time is within the window.";
    TIME_STALE "time" Failed "time_stale" "The signed time is outside the window.";
    TIME_UNREADABLE "time" Failed "time_unreadable" "The signed time is no plain number.";
    TIME_UNCHECKED "time" Skipped "time_unchecked" "No window is configured for the signed time (freshness_seconds = 0).";

    CONTENT_READ "content" Ok "content_read" "Everything that a receipt needs is there.";
    CONTENT_UNUSABLE "content" Failed "content_unusable" "The callback is genuine, but a field of it cannot be used.";
    CONTENT_SKIPPED "content" Skipped "content_skipped" "It did not come so far that its content was read.";

    RECEIPTS "receipts" Ok "receipts" "These receipts come of it. If all of them are stored already, it is a duplicate.";
    NO_RECEIPTS "receipts" Ok "no_receipts" "Nobody has read anything: no receipt comes of it.";
}
