//! The signature doctor's sentences in Simplified Chinese, by their codes, and its facts' names in both languages. The
//! English sentences come from the doctor itself, so whatever has no line here is shown in English; a test sees to it that
//! nothing has none. The table is as long as the ways in which a signature can fail.

use crate::console::language::Language;

/// A step's sentence.
pub(crate) fn step(language: Language, code: &str, english: &'static str) -> &'static str {
    let chinese = || STEPS.iter().find(|(known, _)| *known == code).map_or(english, |(_, chinese)| chinese);
    match language {
        Language::English => english,
        Language::Chinese => chinese(),
    }
}

/// What a finding says is wrong, and what to do about it.
pub(crate) fn finding(
    language: Language,
    code: &str,
    english: (&'static str, &'static str),
) -> (&'static str, &'static str) {
    let chinese = || {
        let known = FINDINGS.iter().find(|(known, ..)| *known == code);
        known.map_or(english, |(_, text, remedy)| (*text, *remedy))
    };
    match language {
        Language::English => english,
        Language::Chinese => chinese(),
    }
}

/// What a fact is about.
pub(crate) fn fact(language: Language, name: &'static str) -> &'static str {
    let known = FACTS.iter().find(|(known, ..)| *known == name);
    known.map_or(name, |(_, english, chinese)| language.of(english, chinese))
}

const STEPS: [(&str, &str); 44] = [
    ("route_fits", "路径属于该厂商的路由。"),
    ("route_elsewhere", "路径是 readhook 的路由，但属于其他厂商。"),
    ("route_unknown", "该路径下没有任何服务。"),
    ("body_readable", "请求体可以读取。"),
    ("body_unreadable", "请求体无法读取。"),
    ("body_too_large", "请求体超过 server.body_limit_bytes。"),
    ("body_skipped", "尚未进行到读取请求体这一步。"),
    ("read_event", "是已读事件。"),
    ("neighbour", "不是已读事件。将按厂商业务可继续进行的方式应答，不会存储任何内容。"),
    ("command_missing", "查询参数中没有 CallbackCommand。"),
    ("command_repeated", "查询参数中有多个 CallbackCommand。"),
    ("command_contradicting", "请求体中的 CallbackCommand 与查询参数中的不一致。"),
    ("app_known", "该应用已配置。"),
    ("app_alone", "未指明应用，而配置中恰好只有一个应用，因此视为该应用。"),
    ("app_unknown", "所指明的应用未配置。"),
    ("app_missing", "未指明应用。"),
    ("app_repeated", "应用标识出现了多次。"),
    ("signature_there", "签名及其所覆盖的值齐全。"),
    ("signature_missing", "缺少签名或其所覆盖的值。"),
    ("signature_repeated", "签名或其所覆盖的值出现了多次，均不予采用。"),
    ("proof_fits", "用该密钥计算得出的签名与收到的一致。"),
    ("proof_differs", "用该密钥计算得出的签名与收到的不一致。"),
    ("proof_more", "还尝试了更多密钥，此处不再列出。"),
    ("proof_neighbour", "非已读事件无需验证：不会对其做任何处理。"),
    ("proof_app_id", "该应用未配置回调令牌，仅凭 SdkAppid 即可接收回调。"),
    ("proof_no_app", "没有应用，也就没有可供验证的密钥。"),
    ("token_fits", "路径的第一段是该应用的令牌。"),
    ("token_differs", "路径的第一段不是该应用的令牌。"),
    ("token_missing", "路径中没有令牌。"),
    ("basic_fits", "Basic 认证信息属于该应用。"),
    ("basic_differs", "Basic 认证信息不属于该应用。"),
    ("basic_missing", "没有可读取的 Basic 认证信息。"),
    ("address_allowed", "客户端地址在 allowed_ips 中。"),
    ("address_refused", "客户端地址不在 allowed_ips 中。"),
    ("anybody", "该应用接受任何来源的回调（allow_unauthenticated）。"),
    ("time_fits", "签名时间在允许的时间窗口内。"),
    ("time_stale", "签名时间超出允许的时间窗口。"),
    ("time_unreadable", "签名时间不是纯数字。"),
    ("time_unchecked", "未配置签名时间窗口（freshness_seconds = 0）。"),
    ("content_read", "生成回执所需的内容齐全。"),
    ("content_unusable", "回调验证通过，但其中有字段无法使用。"),
    ("content_skipped", "尚未进行到读取内容这一步。"),
    ("receipts", "将产生以下回执。若全部已存储，则为重复回调。"),
    ("no_receipts", "没有任何人已读，因此不产生回执。"),
];

const FINDINGS: [(&str, &str, &str); 81] = [
    (
        "wrong_secret",
        "该应用的所有密钥都无法得出此签名，常见的密钥错误也都不符合。",
        "请逐字符比对厂商控制台与配置中的密钥；新建的回调规则或应用有各自的密钥。修改后请向 readhook 发送 SIGHUP。",
    ),
    (
        "secret_of_other_app",
        "签名使用的是此处配置的另一个应用的密钥。",
        "两个密钥或应用标识弄混了：请将该密钥放到回调所指明的应用之下。",
    ),
    (
        "secret_of_other_list",
        "签名使用的是应用另一个列表中的密钥：secrets 用于厂商，relay_secrets 用于中继。",
        "请使用该路由所要求的列表中的密钥签名，或将密钥移到正确的列表。",
    ),
    (
        "secret_white_space",
        "配置中的密钥首尾带有空白字符，而厂商侧没有。",
        "请从配置或密钥文件中删除；检查末尾的空格、制表符或多余的换行。",
    ),
    (
        "signed_with_white_space",
        "签名时所用的密钥首尾多了空白字符。",
        "签名一方的密钥带有换行或空格：请在那里重新填写。",
    ),
    (
        "secret_in_quotes",
        "配置中的密钥自身带有引号，而厂商侧没有。",
        "请从配置、环境变量或密钥文件中删除内层引号。",
    ),
    ("secret_case", "签名所用的密钥与配置仅有大小写差异。", "请从厂商控制台复制密钥，不要手工输入。"),
    (
        "secret_percent_encoded",
        "配置中的密钥是百分号编码形式，而厂商侧不是。",
        "请配置解码后的密钥，例如 %40 即 @。",
    ),
    (
        "legacy_secret",
        "签名使用的是厂商旧文档中公开的默认密钥，人人皆知。",
        "请在厂商控制台为该规则设置独立的密钥，并写入配置。",
    ),
    ("signed_without_secret", "签名时未使用任何密钥。", "签名一方未设置密钥：请在那里设置。"),
    (
        "secret_as_signature",
        "发送的是密钥本身，而不是签名。",
        "请按厂商文档发送摘要。该密钥已经泄露，请更换。",
    ),
    ("other_order", "参与签名的值正确，但拼接顺序不同。", "请按验证步骤中显示的顺序依次拼接。"),
    ("separator", "参与签名的值正确，但值之间有分隔符。", "请直接拼接，中间不要加任何字符。"),
    ("other_hash", "参与签名的值正确，但使用了另一种哈希算法。", "请使用验证步骤中显示的算法。"),
    (
        "hmac_instead",
        "这是以密钥为 key 的 HMAC，而不是对密钥与值直接计算的哈希。",
        "请按验证步骤所示，将密钥与值拼接后计算哈希。",
    ),
    ("signature_base64", "摘要正确，但以 Base64 形式发送。", "请使用十六进制表示。"),
    ("signature_decorated", "摘要正确，但前后带有空白、引号或前缀。", "请只发送十六进制数字。"),
    ("upper_case_hex", "签名使用了大写十六进制。此处没有影响。", "无需处理：大小写等效。"),
    (
        "body_not_signed",
        "没有厂商对请求体签名：只要参与签名的值不变，代理改写请求体不会破坏签名。",
        "请检查密钥和参与签名的值。",
    ),
    ("time_in_seconds", "签名时使用秒，而发送的是毫秒。", "请对实际发送的字符进行签名。"),
    ("time_in_milliseconds", "应使用秒的地方使用了毫秒。", "请以秒取一次时间，发送与签名使用同样的字符。"),
    (
        "time_as_float",
        "时间在途中经过了浮点数转换：参与签名的字符与收到的不同。",
        "请在签名处及所有中间代理中保持整数或文本形式。",
    ),
    ("raw_values", "签名时使用了 URL 中带百分号转义的原始值。", "请先对原值签名，再做 URL 转义。"),
    ("values_escaped", "收到的值带有百分号转义，而签名时没有。", "途中某处多转义了一次，或没有解码。"),
    ("plus_as_space", "URL 中的 + 到达时变成了空格（表单解码规则）。", "URL 中的 + 请写作 %2B。"),
    ("value_white_space", "参与签名的值到达时首尾带有未参与签名的空白。", "请在发起请求处去除。"),
    ("parameter_missing", "缺少验证所需的值，或该值为空。", "其位置请参见厂商文档；代理可能截掉了查询参数。"),
    (
        "parameter_repeated",
        "验证所需的值出现了多次，无法确定以哪个为准。",
        "请从控制台的 URL 中删除；也可能是代理重复添加。",
    ),
    ("parameter_spelling", "缺少的参数以另一种拼写出现。", "请严格按下列写法拼写，区分大小写。"),
    ("signature_elsewhere", "签名存在，但不在该厂商规定的位置。", "请放到下列位置。"),
    (
        "sign_not_checked",
        "收到了签名，但该应用未配置回调令牌，因此没有检查。",
        "请将控制台中的令牌配置为该应用的密钥。",
    ),
    (
        "authentication_off",
        "该应用配置了回调令牌，但厂商没有发送签名。",
        "请在厂商控制台以同一令牌开启回调鉴权，或从配置中删除令牌。",
    ),
    ("clock_skew", "签名时间与到达时间之差超出了允许的窗口。", "请用 NTP 校准本机及签名方的时钟。"),
    ("time_zone", "两个时间恰好相差整小时，似乎被加上了时区。", "请使用 UTC 时间：Unix 时间与时区无关。"),
    (
        "judged_as_of_now",
        "未给出到达时间，因此按现在到达判断。",
        "请给出到达时间（received_at、--at）以查看当时的结果。",
    ),
    ("time_no_number", "签名时间必须是 ASCII 数字，且不能有前导零。", "请发送纯十进制数字。"),
    ("app_unknown", "回调所指明的应用未在此配置。", "请加入配置，或更正其标识：必须逐字符一致。"),
    (
        "app_missing",
        "回调未指明应用，无法确定使用谁的密钥。",
        "应用标识的位置请参见厂商文档；代理可能截掉了查询参数。",
    ),
    ("app_almost", "所指明的应用与某个已配置的应用仅在大小写、空白或转义上不同。", "请更正配置中的标识。"),
    ("app_repeated", "请求中的应用标识出现了多次。", "请从厂商控制台的 URL 中删除：厂商会自动附加。"),
    ("other_vendor", "这看起来是另一个厂商的回调。", "请在该厂商的控制台中填写其对应路由的 URL。"),
    ("route_trailing_slash", "路径末尾多了一个斜杠。", "请填写不带斜杠的 URL。"),
    ("route_unknown", "该路径下没有任何服务。", "请填写下列路由的 URL。"),
    ("route_of_other", "该路径是另一个厂商的路由，无法识别此回调。", "请填写下列路由的 URL。"),
    ("path_prefix", "路径中 /webhooks/ 之前还有内容，此处已忽略。", "代理转发前必须去掉该前缀。"),
    (
        "token_missing",
        "该应用要求路径中带有令牌，但没有。",
        "请在服务端的 webhooks.yml 中将 URL 写为 /webhooks/openim/<token>。",
    ),
    ("token_unknown", "路径中有令牌，但不是已配置的令牌。", "请比对 webhooks.yml 中的 URL 与 path_tokens。"),
    ("token_case", "令牌与已配置的仅有大小写差异。", "区分大小写：请更正其中之一。"),
    ("token_slash", "令牌与已配置的一致，只是末尾多了转义的斜杠。", "请从 URL 中删除 %2F。"),
    ("token_white_space", "令牌与已配置的一致，只是首尾带有空白或引号。", "请从 URL 或配置中删除。"),
    ("token_escaped", "令牌再解码一次后与已配置的一致。", "URL 中只转义一次，配置中不要转义。"),
    (
        "token_elsewhere",
        "已配置的令牌存在，但不在路由之后的第一段路径中。",
        "请放在该处：OpenIM 服务端无法以其他方式携带令牌。",
    ),
    (
        "basic_missing",
        "该应用要求 Basic 认证，但没有认证信息。",
        "请在 webhooks.yml 中将 URL 写为 https://user:password@host/…；并确认没有代理删除 Authorization。",
    ),
    ("basic_not_kept", "含凭据的请求头不会随回调保存，因此无法再次验证。", "请查看它到达时的结果。"),
    (
        "basic_repeated",
        "存在多个 Authorization 字段，均不予采用。",
        "某个代理添加了自己的字段：请让其替换或保持原样。",
    ),
    (
        "basic_scheme",
        "Authorization 使用的不是 Basic 方案。",
        "URL 含 user:password@ 时，OpenIM 服务端会发送 Basic。",
    ),
    (
        "basic_not_base64",
        "Basic 之后的内容不是 Base64，或被截断。",
        "请在 URL 中填写 user:password@，由服务端自动生成。",
    ),
    ("basic_no_colon", "解码后的认证信息中，用户名与密码之间没有冒号。", "格式应为 user:password。"),
    ("basic_unknown", "认证信息可以读取，但不是已配置的。", "请比对 URL 中的 user:password@ 与 basic_auth。"),
    (
        "basic_white_space",
        "认证信息正确，只是首尾带有空白。",
        "编码时带入了换行：请用 printf 代替 echo，并检查配置中的空格。",
    ),
    ("basic_case", "认证信息正确，只是大小写不同。", "区分大小写：请更正其中之一。"),
    (
        "basic_escaped",
        "认证信息解码转义后正确：某一侧带有百分号转义。",
        "仅在 URL 中转义特殊字符，basic_auth 请按原文填写。",
    ),
    ("address_refused", "客户端地址不在该应用的 allowed_ips 中。", "请加入该地址或其所在网段。"),
    (
        "forwarded_for_not_trusted",
        "X-Forwarded-For 中的地址是允许的，但写入它的代理不受信任。",
        "请将代理地址加入 server.trusted_proxies。",
    ),
    ("client_not_given", "未给出客户端地址，因此视为 127.0.0.1。", "请说明来源地址（client、--client）。"),
    (
        "query_swallowed_command",
        "命令落入了查询参数：OpenIM 将 /<command> 直接拼接在 URL 末尾，即问号之后。",
        "请填写不带查询参数的 URL。",
    ),
    (
        "no_read_event",
        "这不是已读回调，因此不产生任何结果，也未检查其签名。",
        "请在厂商控制台开启已读事件，然后阅读一条消息试试。",
    ),
    ("command_spelling", "除名称大小写外，它本应是已读事件。", "厂商不会这样发送：请检查是谁改写了它。"),
    (
        "command_only_in_body",
        "CallbackCommand 只在请求体中；查询参数中也必须有。",
        "请完整转发查询参数：代理可能将其截掉。",
    ),
    ("command_contradicting", "各处指明的命令不一致。", "请检查途中是谁改动了请求。"),
    (
        "command_repeated",
        "查询参数中有多个 CallbackCommand。",
        "请从厂商控制台的 URL 中删除：厂商会自动附加。",
    ),
    (
        "other_conversation",
        "是已读事件，但在该类会话中不表示已读。",
        "无需处理：RC:ReadNtf 适用于 PERSON，RC:RRRspMsg 适用于 GROUP。",
    ),
    ("not_utf8", "请求体不是 UTF-8。", "厂商发送的是 UTF-8：请检查是谁改写了请求体。"),
    ("body_compressed", "请求体经过压缩，厂商不会这样做。", "请让代理原样转发。"),
    ("body_empty", "请求体为空。", "请确认抓包或代理保留了请求体。"),
    ("not_json", "请求体不是 JSON。", "请比对其长度与 Content-Length：可能被截断。"),
    (
        "not_form",
        "请求体既不是 JSON 也不是表单。",
        "表单由 name=value 组成，% 后须跟两位十六进制数，且不能有裸换行。",
    ),
    ("wrong_root", "请求体是 JSON，但不是该厂商发送的类型。", "根元素必须是对象。"),
    (
        "duplicate_key",
        "请求体中的某个对象有重复的键，两种解读都可能成立。",
        "请检查是谁改写了请求体：厂商的每个键只出现一次。",
    ),
    ("body_too_large", "请求体超过 server.body_limit_bytes。", "若确属真实回调，请调高该限制。"),
    ("field_unusable", "回执所需的字段缺失或不符合要求。", "请对照厂商文档；字段名见下。"),
];

const FACTS: [(&str, &str, &str); 35] = [
    ("app", "app", "应用"),
    ("bytes", "bytes", "字节数"),
    ("missing", "missing", "缺少"),
    ("event", "event", "事件"),
    ("secret", "secret", "密钥"),
    ("repeated", "repeated", "重复"),
    ("client", "client", "客户端地址"),
    ("arrived_at", "arrived at", "到达时间"),
    ("timestamp", "timestamp", "时间戳"),
    ("route", "route", "路由"),
    ("limit", "limit", "上限"),
    ("base", "signed text", "签名原文"),
    ("window_seconds", "window in seconds", "时间窗口（秒）"),
    ("signed_at", "signed at", "签名时间"),
    ("secrets_tried", "secrets tried", "已尝试的密钥数"),
    ("secrets", "secrets", "密钥数"),
    ("seconds_apart", "seconds apart", "相差秒数"),
    ("receipts", "receipts", "回执数"),
    ("prefix", "prefix", "前缀"),
    ("path", "path", "路径"),
    ("nonce", "nonce", "随机数"),
    ("line", "line", "行"),
    ("column", "column", "列"),
    ("hours", "hours", "小时"),
    ("forwarded_for", "X-Forwarded-For", "X-Forwarded-For"),
    ("expected", "expected", "期望值"),
    ("came", "came", "收到的值"),
    ("differs_at", "differs at character", "从第几个字符起不同"),
    ("bytes_before", "bytes before it", "之前的字节数"),
    ("apps_configured", "apps configured", "已配置的应用数"),
    ("algorithm", "algorithm", "算法"),
    ("field", "field", "字段"),
    ("problem", "problem", "问题"),
    ("looks_like", "looks like", "疑似厂商"),
    ("white_space", "white space", "空白字符"),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::explain::{finding_codes, step_codes};

    #[test]
    fn everything_that_the_doctor_says_is_said_in_chinese() {
        for (code, english) in step_codes() {
            assert_ne!(step(Language::Chinese, code, english), english, "{code}");
        }
        for (code, english, remedy) in finding_codes() {
            assert_ne!(finding(Language::Chinese, code, (english, remedy)).0, english, "{code}");
        }
        let known = |code: &str| step_codes().any(|(known, _)| known == code);
        assert!(STEPS.iter().all(|(code, _)| known(code)), "a sentence that nobody says any more");
        let known = |code: &str| finding_codes().any(|(known, ..)| known == code);
        assert!(FINDINGS.iter().all(|(code, ..)| known(code)), "a finding that nobody finds any more");
    }
}
