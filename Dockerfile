# readhook in a container.
#
#     docker build -t readhook .
#     docker build -t readhook --build-arg FEATURES=sink-kafka .     # with Kafka's client besides the default sinks
#
# Two stages. The first has a compiler; the second has glibc, libgcc and readhook, and nothing else: no shell, no
# package manager, no curl. It needs none of them, for SQLite is inside the program and the health check is one of its
# subcommands. Both stages are Debian 12, so the program meets the glibc that it was linked against; with Kafka also the
# OpenSSL 3, which distroless has in its `base`, and `cc` is made from that. (The build with Kafka was not tried in
# Docker.)

FROM rust:1-slim-bookworm AS build
WORKDIR /readhook
# Cargo features beside the default ones, separated by commas. Only Kafka's needs further packages. (zlib1g-dev is left
# out on purpose: without it zlib is built in, with it the program would look for a libz that the second stage lacks.)
ARG FEATURES=""
RUN case ",$FEATURES," in *,sink-kafka,*) \
        apt-get update \
        && apt-get install -y --no-install-recommends g++ make pkg-config libssl-dev \
        && rm -rf /var/lib/apt/lists/* ;; \
    esac

# A layer of its own for the dependencies: they are built against empty sources, so it stays as it is until a manifest
# changes. `.cargo/config.toml` comes along because SQLite is among them, and is built with the flag that stands there.
COPY .cargo/config.toml .cargo/config.toml
COPY Cargo.toml Cargo.lock ./
# A workspace does not load without its members.
COPY bench/Cargo.toml bench/Cargo.toml
COPY fuzz/Cargo.toml fuzz/Cargo.toml
RUN mkdir src bench/src fuzz/src benches \
    && echo 'fn main() {}' > src/main.rs \
    && touch src/lib.rs bench/src/lib.rs fuzz/src/lib.rs \
    # A bench that the manifest names must be there, too.
    && for name in $(sed -n '/^\[\[bench\]\]/,/^$/s/^name *= *"\(.*\)"/\1/p' Cargo.toml); do \
           echo 'fn main() {}' > "benches/$name.rs"; \
       done \
    && cargo build --release --locked --bin readhook --features "$FEATURES"

COPY src src
# Copied files keep their age, and may be older than what was built from the empty ones.
RUN touch src/lib.rs src/main.rs \
    && cargo build --release --locked --bin readhook --features "$FEATURES" \
    && mkdir /empty

FROM gcr.io/distroless/cc-debian12:nonroot
COPY --from=build /readhook/target/release/readhook /usr/local/bin/readhook
COPY LICENSE-APACHE LICENSE-MIT /usr/share/doc/readhook/
# Its owner is handed on to a new named volume; a folder that is mounted here must belong to 65532 itself.
COPY --from=build --chown=65532:65532 /empty /data

# The configuration is looked for in config/readhook.toml, here: /config/readhook.toml. Without one the defaults and the
# environment hold.
WORKDIR /
USER 65532:65532
ENV READHOOK__JOURNAL__PATH=/data/readhook.db
# The only place that is written to, so the rest of the container can be read-only.
VOLUME /data
EXPOSE 8080
# Ends in good order: requests under way are answered, and the sinks get drain_seconds (10) to catch up. Docker's own
# patience is 10 s, too; `docker stop -t 20` leaves room for both.
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=4s --start-period=30s --retries=3 CMD ["readhook", "healthcheck"]
ENTRYPOINT ["readhook"]
CMD ["serve"]
