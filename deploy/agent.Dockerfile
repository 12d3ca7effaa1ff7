# The agent: docker build -f deploy/agent.Dockerfile -t vectadb-agent .
# For a build that is the same next year, give BASE by its digest: --build-arg BASE=python@sha256:…
ARG BASE=python:3.11.14-slim-bookworm

FROM ${BASE} AS build
# pip takes the constraints for what builds our wheels, too. Modules are compiled by content, not by time.
ENV PIP_CONSTRAINT=/src/constraints.txt PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /src
COPY constraints.txt ./
COPY core core
COPY plugins plugins
RUN python -m venv --without-pip /opt/vectadb \
    && python -m pip --python /opt/vectadb/bin/python install --no-compile \
        ./core ./plugins/cloudwatch ./plugins/parsers ./plugins/processors ./plugins/sinks \
    && /opt/vectadb/bin/python -m compileall -q --invalidation-mode unchecked-hash /opt/vectadb/lib

FROM ${BASE}
LABEL org.opencontainers.image.title="vectadb-agent" org.opencontainers.image.licenses="Apache-2.0"
RUN useradd --system --uid 10001 --user-group --create-home --home-dir /var/lib/vectadb-agent vectadb
COPY --from=build /opt/vectadb /opt/vectadb
ENV PATH=/opt/vectadb/bin:$PATH PYTHONUNBUFFERED=1 CONFIG_PATH=/etc/vectadb-agent/agent.yaml
USER 10001:10001
# Checkpoints: `state_dir: ./state` is in here. Losing it costs a second reading, no records.
WORKDIR /var/lib/vectadb-agent
VOLUME /var/lib/vectadb-agent
# 0 while every pipeline gets on; asks the running agent over its socket.
HEALTHCHECK --interval=60s --timeout=15s --start-period=30s --retries=3 CMD ["vectadb-agent", "status"]
ENTRYPOINT ["vectadb-agent"]
CMD ["run"]
