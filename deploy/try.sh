#!/usr/bin/env bash
# Three replicas without a journal on one JetStream, behind nginx with TLS, on this machine:
#
#     deploy/try.sh [READHOOK-BINARY] [CALLBACKS]
#
# Sends 100,000 callbacks of all four vendors, correctly signed and through nginx as deploy/nginx/readhook.conf sets it.
# When a third of them is acknowledged, one replica is killed with SIGKILL; after two thirds nginx is stopped and started
# again. Meanwhile the simulated vendors repeat and give up as the real ones do. In the end deploy/prove.py reads the
# stream from its beginning and compares it with the callbacks that were acknowledged, body by body: none may be missing,
# and no id may be there twice.
#
# Ends with 0 if that holds. Takes a minute or so on two cores, and is ended after two. Needs nginx, nats-server, openssl,
# curl and python3, and a release build. Loopback only, on free ports; what it starts it ends, and nothing is left but
# what it printed.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
PATH=$PATH:/usr/sbin:/usr/local/sbin

readhook=${1:-${CARGO_TARGET_DIR:-target}/release/readhook}
callbacks=${2:-100000}
longest=300
fail() {
    printf 'try: %s\n' "$*" >&2
    exit 1
}
for tool in nginx nats-server openssl curl python3; do
    command -v "$tool" >/dev/null ||
        fail "$tool is missing; on Debian: apt-get install nginx-light nats-server openssl curl python3"
done
[[ -x $readhook ]] || fail "$readhook is missing; cargo build --release makes it"

folder=$(mktemp -d)
# nginx's worker is another user when root starts it.
chmod 755 "$folder"
started=()
end() {
    for process in "${started[@]}"; do
        kill "$process" 2>/dev/null || true
    done
    for process in "${started[@]}"; do
        wait "$process" 2>/dev/null || true
    done
    rm -rf "$folder"
}
trap end EXIT
trap 'exit 1' INT TERM

# Whatever is awaited, the whole must end.
within() { ((SECONDS < longest)) || fail "not done after $longest s: $*"; }
taken=()
# A port that nobody listens on, in $port.
free_port() {
    while port=$((20000 + RANDOM % 10000))
        [[ " ${taken[*]} " == *" $port "* ]] || (: <>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; do :; done
    taken+=("$port")
}
until_answers() {
    until curl --silent --fail --output /dev/null --cacert "$folder/tls.crt" --max-time 2 "$1"; do
        within "nobody answers at $1: $(tail -n 3 "$folder"/*.log)"
        sleep 0.1
    done
}

openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost \
    -addext subjectAltName=DNS:localhost -addext basicConstraints=critical,CA:FALSE -keyout "$folder/tls.key" -out "$folder/tls.crt" 2>"$folder/openssl.log" ||
    fail "openssl: $(cat "$folder/openssl.log")"

free_port && nats=$port
free_port && monitor=$port
nats-server --addr 127.0.0.1 --port "$nats" --http_port "$monitor" --jetstream --store_dir "$folder/nats" \
    --log "$folder/nats.log" &
started+=($!)
until_answers "http://127.0.0.1:$monitor/healthz"

replicas=()
upstream=
for number in 1 2 3; do
    free_port && public=$port
    free_port && admin=$port
    cat >"$folder/replica-$number.toml" <<TOML
[server]
listen = "127.0.0.1:$public"
trusted_proxies = ["127.0.0.1"]
[admin]
listen = "127.0.0.1:$admin"
[journal]
path = "$folder/replica-$number/readhook.db" # the quarantine lies there; there is no journal
[delivery]
ack_after = "sinks"
[vendors.easemob.apps.trial]
appkey = "1122334455#trial"
secrets = ["test-only-easemob"]
[vendors.tencent.apps.trial]
sdk_app_id = "1400000000"
secrets = ["test-only-tencent"]
[vendors.openim.apps.trial]
path_tokens = ["test-only-openim"]
[vendors.rongcloud.apps.trial]
app_key = "trial-app-key"
secrets = ["test-only-rongcloud"]
[sinks.stream]
type = "nats"
url = "nats://127.0.0.1:$nats"
TOML
    "$readhook" serve --config "$folder/replica-$number.toml" 2>"$folder/replica-$number.log" &
    replicas+=($!)
    started+=($!)
    upstream+="server 127.0.0.1:$public max_fails=0; "
    until_answers "http://127.0.0.1:$public/readyz"
done

# nginx by the example, with other addresses, files and replicas.
free_port && front=$port
sed -e "s#server 127.0.0.1:8080 max_fails=0;#$upstream#" -e "s#listen 443 #listen 127.0.0.1:$front #" -e '/listen \[::\]/d' \
    -e 's#server_name .*;#server_name localhost;#' -e "s#/etc/nginx/tls/im-hooks.example.com#$folder/tls#" \
    -e "s#/var/log/nginx/#$folder/#" deploy/nginx/readhook.conf >"$folder/readhook.conf"
{
    echo "daemon off; worker_processes 1; pid $folder/nginx.pid; error_log $folder/nginx.log;"
    echo "events { worker_connections 1024; }"
    echo "http {"
    for kind in client_body proxy fastcgi uwsgi scgi; do echo "${kind}_temp_path $folder/nginx-$kind;"; done
    echo "include $folder/readhook.conf; }"
} >"$folder/nginx.conf"
start_nginx() {
    nginx -e "$folder/nginx.log" -c "$folder/nginx.conf" &
    nginx=$!
    started+=("$nginx")
    until_answers "https://localhost:$front/readyz"
}
start_nginx

# The vendors. `--vendor-behaviour`: their time-outs and repeats, and what they give up.
: >"$folder/acknowledged"
SSL_CERT_FILE=$folder/tls.crt "$readhook" simulate all --config "$folder/replica-1.toml" --url "https://localhost:$front" \
    --count "$callbacks" --concurrency 64 --vendor-behaviour --acknowledged "$folder/acknowledged" --format json \
    >"$folder/report.json" 2>"$folder/simulate.log" &
simulator=$!
started+=("$simulator")
until_acknowledged() {
    until (($(wc -l <"$folder/acknowledged") >= $1)); do
        kill -0 "$simulator" 2>/dev/null ||
            fail "the simulator ended too early: $(tail -n 3 "$folder/simulate.log" "$folder/report.json")"
        within "$(wc -l <"$folder/acknowledged") callbacks are acknowledged"
        sleep 0.05
    done
    echo "$(wc -l <"$folder/acknowledged") callbacks are acknowledged: $2"
}
until_acknowledged $((callbacks / 3)) "replica 2 is killed"
kill -KILL "${replicas[1]}"
{ wait "${replicas[1]}" || true; } 2>/dev/null # without the shell's own word about it
until_acknowledged $((callbacks * 2 / 3)) "nginx is stopped and started again"
kill -TERM "$nginx"
wait "$nginx" || true
start_nginx

while kill -0 "$simulator" 2>/dev/null; do
    within "$(wc -l <"$folder/acknowledged") callbacks are acknowledged"
    sleep 0.1
done
# 1: what was under way when something was killed has failed, and some vendors do not try again. That is theirs to lose.
wait "$simulator" || (($? == 1)) || fail "the simulator ended in an error: $(cat "$folder/simulate.log")"
for number in 0 2; do
    kill -0 "${replicas[$number]}" 2>/dev/null ||
        fail "replica $((number + 1)) has ended: $(cat "$folder/replica-$((number + 1)).log")"
done

python3 deploy/prove.py "127.0.0.1:$nats" READHOOK "$folder/acknowledged" "$folder/report.json" "$callbacks"
echo "in $SECONDS s"
