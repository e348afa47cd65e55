# readhook in a container.
#
#     docker build -t readhook .
#     docker build -t readhook --build-arg FEATURES=sink-kafka .     # with Kafka's client besides the default sinks
#     COMMIT=$(git rev-parse HEAD) docker buildx bake                # a release, for amd64 and arm64: docker-bake.hcl
#
# Two stages. The first has a compiler; the second has glibc, libgcc and readhook, and nothing else: no shell, no
# package manager, no curl. It needs none of them, for SQLite is inside the program and the health check is one of its
# subcommands. Both stages are Debian 12, so the program meets the glibc that it was linked against; with Kafka also the
# OpenSSL 3, which distroless has in its `base`, and `cc` is made from that.
#
# Nothing here names an architecture: each is built on a machine of its own kind, or emulated. `.ci/image` builds this
# file on other bases, and tries the result.
ARG BUILD_IMAGE=rust:1-slim-bookworm
ARG RUNTIME_IMAGE=gcr.io/distroless/cc-debian12:nonroot

FROM ${BUILD_IMAGE} AS build
WORKDIR /readhook
# The names of functions are an eighth of the program, and nobody debugs it in here.
ENV CARGO_PROFILE_RELEASE_STRIP=symbols
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
# A dependency with a change of ours.
COPY patches patches
RUN mkdir src bench/src fuzz/src benches \
    && echo 'fn main() {}' > src/main.rs \
    && touch src/lib.rs bench/src/lib.rs fuzz/src/lib.rs \
    # A bench that the manifest names must be there, too.
    && for name in $(sed -n '/^\[\[bench\]\]/,/^$/s/^name *= *"\(.*\)"/\1/p' Cargo.toml); do \
           echo 'fn main() {}' > "benches/$name.rs"; \
       done \
    && cargo build --release --locked --bin readhook --features "$FEATURES"

# Of what is built in the licences' texts, which must go along.
RUN cargo tree --locked --prefix none --edges normal,build --features "$FEATURES" --format '{p}' | sort -u \
    | while read -r name version _; do \
        [ "$name" != readhook ] || continue; \
        mkdir -p "/licences/$name-${version#v}"; \
        for folder in "$CARGO_HOME"/registry/src/*/"$name-${version#v}" "patches/$name"; do \
            [ ! -d "$folder" ] || find "$folder" -maxdepth 1 -type f \
                -iregex '.*/\(un\)?\(licen[cs]e\|copying\|copyright\|notice\)[^/]*' \
                -exec cp -t "/licences/$name-${version#v}" {} +; \
        done; \
    done \
    # Packed, for 3 MB of them are the same few texts over and over.
    && tar --create --gzip --file /licences.tar.gz --directory / licences

COPY build.rs build.rs
COPY src src
# Of which commit the sources are; `readhook --version` says it.
ARG COMMIT=""
# Copied files keep their age, and may be older than what was built from the empty ones.
RUN touch build.rs src/lib.rs src/main.rs \
    && READHOOK_COMMIT="$COMMIT" cargo build --release --locked --bin readhook --features "$FEATURES" \
    && target/release/readhook --version \
    && mkdir /empty

FROM ${RUNTIME_IMAGE}
COPY LICENSE-APACHE LICENSE-MIT /usr/share/doc/readhook/
COPY --from=build /licences.tar.gz /usr/share/doc/readhook/
# Its owner is handed on to a new named volume; a folder that is mounted here must belong to 65532 itself.
COPY --from=build --chown=65532:65532 /empty /data
COPY --from=build /readhook/target/release/readhook /usr/local/bin/readhook

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

ARG VERSION=""
ARG COMMIT=""
LABEL org.opencontainers.image.title="readhook" \
      org.opencontainers.image.description="Takes instant-messaging vendors' read-receipt callbacks, and loses none." \
      org.opencontainers.image.licenses="MIT OR Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${COMMIT}"
