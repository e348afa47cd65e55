//! A captured HTTP request in the forms in which people capture it: as it was on the wire, with the arrows of `curl -v`, as
//! one of curl's traces, or with what `tcpdump -A` puts in front of it. Chunked bodies are not put together.

use crate::explain::Capture;

const NO_REQUEST: &str = "--raw: no line such as `POST /webhooks/… HTTP/1.1` is in it";

/// Reads the first POST of it.
pub(super) fn request(bytes: &[u8]) -> Result<Capture, &'static str> {
    let dumped = traced(bytes);
    let bytes = dumped.as_deref().unwrap_or(bytes);
    let at = find(bytes, b"POST /").ok_or(NO_REQUEST)?;
    let before = bytes.get(..at).unwrap_or_default();
    // What `curl -v` writes before each line that it sends.
    let arrow: &[u8] = if before.ends_with(b"> ") { b"> " } else { b"" };
    let mut rest = bytes.get(at..).unwrap_or_default();
    let mut next = || {
        let (line, behind) = match rest.iter().position(|byte| *byte == b'\n') {
            Some(end) => rest.split_at(end + 1),
            None => (rest, &[][..]),
        };
        rest = behind;
        let line = line.strip_prefix(arrow).unwrap_or(line);
        let line = String::from_utf8_lossy(line).trim_end_matches(['\r', '\n']).to_owned();
        (line, behind)
    };
    let (first, _) = next();
    let mut words = first.split(' ').skip(1);
    let (Some(target), Some(version)) = (words.next(), words.next()) else { return Err(NO_REQUEST) };
    if !version.starts_with("HTTP/") {
        return Err(NO_REQUEST);
    }
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut headers = Vec::new();
    let body = loop {
        let (line, behind) = next();
        if line.trim_matches('>').trim().is_empty() {
            break behind;
        }
        let (name, value) = line.split_once(':').ok_or("--raw: a header line without a colon")?;
        headers.push((name.trim().to_owned(), value.trim().to_owned()));
    };
    let length = headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    let length = length.and_then(|(_, length)| length.parse().ok());
    // What stands behind it is the next packet's, or an editor's newline.
    let body = length.and_then(|length| body.get(..length)).unwrap_or(body);
    Ok(Capture {
        path: path.to_owned(),
        query: query.to_owned(),
        headers,
        body: body.to_vec().into(),
        ..Capture::default()
    })
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}

/// What was sent, out of `curl --trace` or `curl --trace-ascii`; `None` when it is neither.
fn traced(bytes: &[u8]) -> Option<Vec<u8>> {
    let text = String::from_utf8_lossy(bytes);
    let mut sent = Vec::new();
    let (mut sending, mut header) = (false, false);
    for line in text.lines() {
        let line = line.trim_end_matches('\r');
        // `--trace-time` puts a clock in front.
        let arrow =
            ["=> Send ", "<= Recv ", "== Info"].iter().find_map(|mark| line.find(mark).map(|at| (mark, at)));
        if let Some((mark, at)) = arrow.filter(|(_, at)| *at <= 20) {
            let what = line.get(at + mark.len()..).unwrap_or_default();
            sending = mark.starts_with("=>") && (what.starts_with("header") || what.starts_with("data"));
            header = what.starts_with("header");
            continue;
        }
        let Some((offset, rest)) = line.split_once(": ").filter(|_| sending) else {
            // An empty header line has nothing behind its colon.
            if sending && line.ends_with(':') {
                sent.extend_from_slice(b"\r\n");
            }
            continue;
        };
        if offset.len() < 4 || !offset.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            continue;
        }
        match dumped(rest) {
            Some(bytes) => sent.extend(bytes),
            None => {
                sent.extend_from_slice(rest.as_bytes());
                if header {
                    sent.extend_from_slice(b"\r\n");
                }
            }
        }
    }
    (!sent.is_empty()).then_some(sent)
}

/// The bytes of `50 4f 53 54 …  POST`: up to sixteen pairs of digits, each with a space behind it.
fn dumped(line: &str) -> Option<Vec<u8>> {
    let columns = line.as_bytes().get(..48).filter(|columns| columns.is_ascii())?;
    let mut bytes = Vec::new();
    for column in columns.chunks(3) {
        match column {
            [b' ', b' ', b' '] => {}
            [high, low, b' '] => {
                let mut byte = [0];
                hex::decode_to_slice([*high, *low], &mut byte).ok()?;
                bytes.extend(byte);
            }
            _ => return None,
        }
    }
    (!bytes.is_empty()).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> (String, String, Vec<(String, String)>, String) {
        let capture = request(text.as_bytes()).unwrap();
        (capture.path, capture.query, capture.headers, String::from_utf8(capture.body.to_vec()).unwrap())
    }

    #[test]
    fn the_forms_in_which_requests_are_captured() {
        let host = vec![("Host".to_owned(), "h".to_owned()), ("Content-Length".to_owned(), "7".to_owned())];
        let expected = ("/webhooks/x".to_owned(), "a=b".to_owned(), host, "{\"a\":1}".to_owned());
        for text in [
            "POST /webhooks/x?a=b HTTP/1.1\r\nHost: h\r\nContent-Length: 7\r\n\r\n{\"a\":1}",
            "POST /webhooks/x?a=b HTTP/1.1\nHost: h\nContent-Length: 7\n\n{\"a\":1}\n",
            "* Connected\n> POST /webhooks/x?a=b HTTP/1.1\n> Host: h\n> Content-Length: 7\n> \n{\"a\":1}",
            "12:00:00 IP 10.0.0.1 > 10.0.0.2: Flags [P.]\nE..4..@.POST /webhooks/x?a=b HTTP/1.1\r\nHost: h\r\nContent-Length: 7\r\n\r\n{\"a\":1}\n12:00:01 IP",
            "== Info: Connected\n=> Send header, 99 bytes (0x63)\n0000: POST /webhooks/x?a=b HTTP/1.1\n001f: Host: h\n0028: Content-Length: 7\n003b: \n=> Send data, 7 bytes (0x7)\n0000: {\"a\":1}\n<= Recv header, 17 bytes (0x11)\n0000: HTTP/1.1 200 OK\n",
        ] {
            assert_eq!(read(text), expected, "{text}");
        }
        let bytes = b"POST /webhooks/x?a=b HTTP/1.1\r\nHost: h\r\nContent-Length: 7\r\n\r\n";
        let dump = |bytes: &[u8]| {
            let lines = bytes.chunks(16).enumerate().map(|(row, chunk)| {
                let columns: String = (0..16)
                    .map(|at| chunk.get(at).map_or("   ".to_owned(), |b| format!("{b:02x} ")))
                    .collect();
                format!("{:04x}: {columns}{}\n", row * 16, ".".repeat(chunk.len()))
            });
            lines.collect::<String>()
        };
        let trace = format!(
            "=> Send header, 60 bytes (0x3c)\n{}=> Send data, 7 bytes (0x7)\n{}",
            dump(bytes),
            dump(b"{\"a\":1}")
        );
        assert_eq!(read(&trace), expected, "{trace}");
    }

    #[test]
    fn what_holds_no_request_is_said_to_hold_none() {
        for text in
            ["", "{}", "GET / HTTP/1.1\n\n", "POST /x", "POST /x y\n", "POST /x HTTP/1.1\nnonsense\n\n"]
        {
            assert!(request(text.as_bytes()).is_err(), "{text}");
        }
    }
}
