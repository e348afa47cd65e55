//! What can be found wrong, and how it is mended. Each finding has a name of its own, so that it can be said in another
//! language; what is particular to a callback stands in its facts. The header is followed by nothing but that table, which is
//! as long as the ways in which a signature can fail.

/// A finding, before its facts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Diagnosis {
    pub(crate) code: &'static str,
    pub(crate) certain: bool,
    pub(crate) text: &'static str,
    pub(crate) remedy: &'static str,
}

macro_rules! diagnoses {
    ($($name:ident $certain:ident $code:literal $text:literal $remedy:literal;)*) => {
        $(pub(crate) const $name: Diagnosis =
            Diagnosis { code: $code, certain: diagnoses!(@ $certain), text: $text, remedy: $remedy };)*
        /// Every finding that there is.
        pub(crate) const ALL: &[Diagnosis] = &[$($name),*];
    };
    (@ certain) => { true };
    (@ likely) => { false };
}

diagnoses! {
    // Which secret signed it.
    WRONG_SECRET likely "wrong_secret"
        "None of the app's secrets gives this signature, nor does any usual mistake with them."
        "Compare the secret in the vendor's console with the configuration, character by character; a new rule or a new app has a secret of its own. After a change send readhook a SIGHUP.";
    SECRET_OF_OTHER_APP certain "secret_of_other_app"
        "It is signed with the secret of another app that is configured here."
        "Two secrets are mixed up, or the app's identity is: put this one under the app that the callback names.";
    SECRET_OF_OTHER_LIST certain "secret_of_other_list"
        "It is signed with a secret from the other list of an app: secrets are for the vendor, relay_secrets for the relay."
        "Sign with a secret of the list that this route asks for, or move the secret.";
    SECRET_WHITE_SPACE certain "secret_white_space"
        "The configured secret has white space around it, and the vendor's has none."
        "Remove it from the configuration or the secret file; look for a space, a tab or a second newline at the end.";
    SIGNED_WITH_WHITE_SPACE certain "signed_with_white_space"
        "It is signed with the configured secret and white space around it."
        "Whoever signs has a newline or a space in the secret: enter it anew there.";
    SECRET_IN_QUOTES certain "secret_in_quotes"
        "The configured secret stands in quotation marks of its own, and the vendor's does not."
        "Remove the inner quotation marks from the configuration, the environment variable or the secret file.";
    SECRET_CASE certain "secret_case"
        "It is signed with the configured secret in other letter case."
        "Copy the secret from the vendor's console instead of typing it.";
    SECRET_PERCENT_ENCODED certain "secret_percent_encoded"
        "The configured secret is percent-encoded, and the vendor's is not."
        "Configure it decoded: %40 is @, for example.";
    LEGACY_SECRET certain "legacy_secret"
        "It is signed with a default that old texts of the vendor print and that everybody knows."
        "Give the rule a secret of its own in the vendor's console, and configure that.";
    SIGNED_WITHOUT_SECRET certain "signed_without_secret"
        "It is signed without any secret."
        "Whoever signs has no secret set: set it there.";
    SECRET_AS_SIGNATURE certain "secret_as_signature"
        "The secret itself was sent in place of a signature."
        "Send the digest that the vendor's page describes. The secret has been seen by others now: replace it.";

    // How it was signed.
    OTHER_ORDER certain "other_order"
        "The right values are signed in another order."
        "Put them one behind the other in the order that the proof step shows.";
    SEPARATOR certain "separator"
        "The right values are signed with something between them."
        "Put them one behind the other with nothing in between.";
    OTHER_HASH certain "other_hash"
        "The right values are signed with another hash function."
        "Use the one that the proof step shows.";
    HMAC_INSTEAD certain "hmac_instead"
        "It is an HMAC with the secret as its key, and not a plain hash over secret and values."
        "Hash the secret together with the values, as the proof step shows.";
    SIGNATURE_BASE64 certain "signature_base64"
        "The digest is right, but it came in Base64."
        "Write it as hexadecimal digits.";
    SIGNATURE_DECORATED certain "signature_decorated"
        "The digest is right, but there is something around it: white space, quotation marks or a prefix."
        "Send the hexadecimal digits alone.";
    UPPER_CASE_HEX certain "upper_case_hex"
        "The signature came in upper-case digits. That does not matter here."
        "Nothing to do: upper and lower case prove the same.";
    BODY_NOT_SIGNED certain "body_not_signed"
        "No vendor signs the body: a proxy that writes it anew cannot be what broke this signature, as long as the signed values stay the same."
        "Look at the secret and the signed values instead.";

    // What was signed.
    TIME_IN_SECONDS certain "time_in_seconds"
        "The time was signed in seconds and came in milliseconds."
        "Sign the very characters that are sent.";
    TIME_IN_MILLISECONDS certain "time_in_milliseconds"
        "The time was taken in milliseconds where seconds belong."
        "Take it in seconds, once, and both send and sign those characters.";
    TIME_AS_FLOAT certain "time_as_float"
        "The time went through a floating-point number on its way: other characters were signed than those that came."
        "Keep it as an integer or as text, where it is signed and in every proxy in between.";
    RAW_VALUES certain "raw_values"
        "A value was signed as it stands in the URL, with its percent escapes."
        "Sign the values before they are escaped for the URL.";
    VALUES_ESCAPED certain "values_escaped"
        "A value came with percent escapes in it that were not there when it was signed."
        "Something on the way escapes once too often, or does not decode.";
    PLUS_AS_SPACE certain "plus_as_space"
        "A + in the URL arrived as a space, as it does in forms."
        "Write %2B for a + in the URL.";
    VALUE_WHITE_SPACE certain "value_white_space"
        "A signed value came with white space around it that was not signed."
        "Remove it where the request is made.";

    // Where the signature is.
    PARAMETER_MISSING certain "parameter_missing"
        "A value that the proof needs is missing or empty."
        "See the vendor's page for where it belongs; a proxy may have cut the query off.";
    PARAMETER_REPEATED certain "parameter_repeated"
        "A value that the proof needs is there more than once, so nobody can know which one was meant."
        "Remove it from the URL in the console; a proxy may also have added it again.";
    PARAMETER_SPELLING certain "parameter_spelling"
        "A parameter that is missing is there in another spelling."
        "Spell it exactly as the facts say: upper and lower case count.";
    SIGNATURE_ELSEWHERE certain "signature_elsewhere"
        "The signature is there, but in a place where this vendor does not put it."
        "Send it where the facts say.";
    SIGN_NOT_CHECKED certain "sign_not_checked"
        "A signature came, but the app has no callback token configured, so nobody looked at it."
        "Enter the token from the console as a secret of the app.";
    AUTHENTICATION_OFF likely "authentication_off"
        "The app has a callback token configured, but the vendor sends no signature."
        "Switch callback authentication on in the vendor's console with the same token, or remove it here.";

    // When.
    CLOCK_SKEW certain "clock_skew"
        "The signed time and the time of arrival are further apart than the window allows."
        "Set the clock of this machine, and of whoever signs, by NTP.";
    TIME_ZONE likely "time_zone"
        "The two times are whole hours apart, as if a time zone had been added."
        "Take the time in UTC: Unix time knows no zone.";
    JUDGED_AS_OF_NOW likely "judged_as_of_now"
        "No time of arrival was given, so it was judged as if it arrived now."
        "Say when it arrived (received_at, --at) to see what was found then.";
    TIME_NO_NUMBER certain "time_no_number"
        "The signed time must be ASCII digits, and no leading zero."
        "Send the plain decimal number.";

    // Whose it is.
    APP_UNKNOWN certain "app_unknown"
        "The app that the callback names is not configured here."
        "Add it to the configuration, or mend its identity there: it must be equal to the character.";
    APP_MISSING certain "app_missing"
        "The callback names no app, so nobody knows whose secret to take."
        "See the vendor's page for where the app's identity belongs; a proxy may have cut the query off.";
    APP_ALMOST certain "app_almost"
        "The app that it names is equal to a configured one but for letter case, white space or escapes."
        "Correct its identity in the configuration.";
    APP_REPEATED certain "app_repeated"
        "The app's identity stands in the request more than once."
        "Remove it from the URL in the vendor's console: the vendor adds it by itself.";
    OTHER_VENDOR likely "other_vendor"
        "This looks like a callback of another vendor."
        "Enter the URL with that vendor's route in its console.";

    // Where it went.
    ROUTE_TRAILING_SLASH certain "route_trailing_slash"
        "The path has a slash too many at its end."
        "Enter the URL without it.";
    ROUTE_UNKNOWN certain "route_unknown"
        "Nothing is served at this path."
        "Enter the URL with the route that the facts name.";
    ROUTE_OF_OTHER certain "route_of_other"
        "The path is the route of another vendor, which will not understand this callback."
        "Enter the URL with the route that the facts name.";
    PATH_PREFIX certain "path_prefix"
        "Something stands in front of /webhooks/ in the path. It was left out here."
        "A proxy must cut it off before it hands the request on.";

    // OpenIM's proofs.
    TOKEN_MISSING certain "token_missing"
        "The app asks for a token in the path, and there is none."
        "Enter the URL as /webhooks/openim/<token> in the server's webhooks.yml.";
    TOKEN_UNKNOWN certain "token_unknown"
        "The path holds a token, but none that is configured."
        "Compare the URL in webhooks.yml with path_tokens.";
    TOKEN_CASE certain "token_case"
        "The token is equal to a configured one but for letter case."
        "Upper and lower case count: correct one of the two.";
    TOKEN_SLASH certain "token_slash"
        "The token is equal to a configured one but for an escaped slash at its end."
        "Remove the %2F from the URL.";
    TOKEN_WHITE_SPACE certain "token_white_space"
        "The token is equal to a configured one but for white space or quotation marks around it."
        "Remove them, in the URL or in the configuration.";
    TOKEN_ESCAPED certain "token_escaped"
        "The token is equal to a configured one once it is unescaped again."
        "Escape it once in the URL, and not at all in the configuration.";
    TOKEN_ELSEWHERE certain "token_elsewhere"
        "A token that is configured is there, but not in the first segment of the path behind the route."
        "Put it there: OpenIM's server can carry it nowhere else.";
    BASIC_MISSING certain "basic_missing"
        "The app asks for Basic credentials, and there are none."
        "Enter the URL as https://user:password@host/… in webhooks.yml; see that no proxy removes Authorization.";
    BASIC_NOT_KEPT certain "basic_not_kept"
        "Header fields with credentials are not kept with a callback, so it cannot prove itself again."
        "Look at the outcome that it had when it arrived.";
    BASIC_REPEATED certain "basic_repeated"
        "There is more than one Authorization field, so neither counts."
        "A proxy adds one of its own: let it replace or leave the field alone.";
    BASIC_SCHEME certain "basic_scheme"
        "Authorization has another scheme than Basic."
        "OpenIM's server sends Basic when the URL holds user:password@.";
    BASIC_NOT_BASE64 certain "basic_not_base64"
        "What follows Basic is not Base64, or it has been cut off."
        "Let the server make it from user:password@ in the URL.";
    BASIC_NO_COLON certain "basic_no_colon"
        "The decoded credentials hold no colon between user and password."
        "They have the form user:password.";
    BASIC_UNKNOWN certain "basic_unknown"
        "The credentials can be read, but are none that are configured."
        "Compare user:password@ of the URL with basic_auth.";
    BASIC_WHITE_SPACE certain "basic_white_space"
        "The credentials are right but for white space around them."
        "A newline was encoded along: use printf in place of echo, and look for spaces in the configuration.";
    BASIC_CASE certain "basic_case"
        "The credentials are right but for letter case."
        "Upper and lower case count: correct one of the two.";
    BASIC_ESCAPED certain "basic_escaped"
        "The credentials are right once they are unescaped: one side has percent escapes in it."
        "Escape special characters in the URL only, and write basic_auth as it is.";
    ADDRESS_REFUSED certain "address_refused"
        "The client's address is none of the app's allowed_ips."
        "Add it, or the range that it is from.";
    FORWARDED_FOR_NOT_TRUSTED certain "forwarded_for_not_trusted"
        "X-Forwarded-For names an address that is allowed, but the proxy that wrote it is not trusted."
        "Name the proxy's address in server.trusted_proxies.";
    CLIENT_NOT_GIVEN likely "client_not_given"
        "The client's address was not given, so it was taken for 127.0.0.1."
        "Say where it came from (client, --client).";
    QUERY_SWALLOWED_COMMAND certain "query_swallowed_command"
        "The command ended up in the query: OpenIM appends /<command> to the URL as text, behind its question mark."
        "Enter the URL without a query.";

    // What it is.
    NO_READ_EVENT certain "no_read_event"
        "This is not a callback about a read, so nothing comes of it. Its signature was not looked at."
        "Switch on the read events in the vendor's console and let somebody read a message.";
    COMMAND_SPELLING certain "command_spelling"
        "It would be a read event, but for upper and lower case in its name."
        "The vendor never sends it so: see who writes it anew.";
    COMMAND_ONLY_IN_BODY certain "command_only_in_body"
        "CallbackCommand is in the body only; it must be in the query, too."
        "Hand the whole query on: a proxy may have cut it off.";
    COMMAND_CONTRADICTING certain "command_contradicting"
        "The places that name the command name different ones."
        "See who changes the request on its way.";
    COMMAND_REPEATED certain "command_repeated"
        "CallbackCommand stands in the query more than once."
        "Remove it from the URL in the vendor's console: the vendor adds it by itself.";
    OTHER_CONVERSATION certain "other_conversation"
        "It is a read event, but in a kind of conversation in which it tells of no read."
        "Nothing to do: RC:ReadNtf counts in PERSON and RC:RRRspMsg in GROUP.";

    // Whether it can be read.
    NOT_UTF8 certain "not_utf8"
        "The body is not UTF-8." "Vendors send UTF-8: see who writes the body anew.";
    BODY_COMPRESSED certain "body_compressed"
        "The body is compressed, which no vendor does." "Let the proxy hand it on as it came.";
    BODY_EMPTY certain "body_empty"
        "The body is empty." "See that the capture, or the proxy, hands the body on.";
    NOT_JSON certain "not_json"
        "The body is not JSON." "Compare its length with Content-Length: it may have been cut off.";
    NOT_FORM certain "not_form"
        "The body is neither JSON nor a form."
        "A form has name=value pairs, % with two digits behind it, and no raw line breaks.";
    WRONG_ROOT certain "wrong_root"
        "The body is JSON, but not of the kind that this vendor sends." "It must be an object.";
    DUPLICATE_KEY certain "duplicate_key"
        "An object in the body names a key twice, so two readers could both be right."
        "See who writes the body anew: vendors name each key once.";
    BODY_TOO_LARGE certain "body_too_large"
        "The body is larger than server.body_limit_bytes." "Raise the limit if it is genuine.";
    FIELD_UNUSABLE certain "field_unusable"
        "A field that a receipt needs is missing, or is not what it must be."
        "Compare it with the vendor's page; the facts name it.";
}
