# syntax=docker/dockerfile:1

# Two stages: one builds the environment from the pinned versions, the other has it and nothing to build with. Nothing is
# compiled: every dependency has wheels for amd64 and arm64. Two builds of one commit have the same files and times:
#   docker buildx build --platform linux/amd64,linux/arm64 --sbom=true --provenance=mode=max \
#     --build-arg SOURCE_DATE_EPOCH="$(git log -1 --format=%ct)" --build-arg REVISION="$(git rev-parse HEAD)" \
#     --output type=image,name=registry.example.com/entitlement-sidecar,push=true,rewrite-timestamp=true .
# Whoever wants the same base, too, names it by digest: --build-arg PYTHON=python:3.11-slim-bookworm@sha256:….
ARG PYTHON=python:3.11-slim-bookworm

FROM ${PYTHON} AS build
ARG EXTRAS=codings,embedded,postgresql
ARG SOURCE_DATE_EPOCH=0
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_ROOT_USER_ACTION=ignore \
    PYTHONDONTWRITEBYTECODE=1
WORKDIR /src
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY sidecar ./sidecar
RUN python -m venv /opt/sidecar \
 && /opt/sidecar/bin/pip install "$(grep '^pip==' constraints.txt)" \
 && /opt/sidecar/bin/pip install --no-compile --only-binary :all: --constraint constraints.txt \
      --build-constraint constraints.txt ".[$EXTRAS]" \
 && /opt/sidecar/bin/pip uninstall --yes pip setuptools \
 && python -m compileall -q --invalidation-mode unchecked-hash /opt/sidecar/lib \
 && find /opt/sidecar -exec touch --no-dereference --date="@$SOURCE_DATE_EPOCH" {} +

FROM ${PYTHON}
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="entitlement-sidecar" \
      org.opencontainers.image.description="A sidecar reverse proxy that enforces credits in front of any HTTP API." \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION"
COPY --from=build /opt/sidecar /opt/sidecar
COPY rules /etc/sidecar/rules
RUN install --directory --owner=10001 --group=10001 --mode=0700 /var/lib/sidecar

# The root file system can be read-only: everything that is written goes to the data folder. The user has a number and no
# name, so that no file of the base changes.
ENV PATH=/opt/sidecar/bin:$PATH \
    HOME=/var/lib/sidecar \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    SIDECAR_DATA_DIR=/var/lib/sidecar \
    SIDECAR_PROXY_LISTEN=0.0.0.0:8080 \
    SIDECAR_CONTROL_LISTEN=0.0.0.0:8081
USER 10001:10001
VOLUME /var/lib/sidecar
EXPOSE 8080 8081 15081
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s \
  CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8081/healthz', timeout=2)"]
ENTRYPOINT ["sidecar"]
CMD ["run"]
