# syntax=docker/dockerfile:1

FROM rust:1.95-bookworm AS build
RUN apt-get update \
    && apt-get install --yes --no-install-recommends libpq-dev pkg-config \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
# The downloads and what was compiled lie in caches of the builder, not in the image: after a change of the code only
# that code is compiled again.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --release --locked --package heimdell \
    && cp target/release/heimdell /usr/local/bin/heimdell

FROM debian:bookworm-slim
# libpq5 speaks to the database, ca-certificates vouch for it over TLS, curl asks for its health below, and
# postgresql-client has pg_dump and pg_restore for backups.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates curl libpq5 postgresql-client \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --home-dir /var/lib/heimdell --create-home heimdell
COPY --from=build /usr/local/bin/heimdell /usr/local/bin/heimdell
WORKDIR /var/lib/heimdell
USER heimdell
# Within a container the way in is the published port, so the program listens on every address of it.
ENV PORT=3001 HEIMDELL_LISTEN=0.0.0.0
EXPOSE 3001
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s --retries=3 \
    CMD curl --fail --silent --output /dev/null "http://127.0.0.1:${PORT}/health/ready"
ENTRYPOINT ["heimdell"]
CMD ["serve"]
