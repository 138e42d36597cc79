# syntax=docker/dockerfile:1

# Two stages: one builds the environment from the pinned versions, the other has it and nothing to build with.
FROM python:3.11-slim-bookworm AS build
WORKDIR /src
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY sidecar ./sidecar
RUN python -m venv /opt/sidecar \
 && /opt/sidecar/bin/pip install --no-cache-dir --constraint constraints.txt '.[embedded,postgresql]' \
 && /opt/sidecar/bin/pip uninstall --yes pip setuptools

FROM python:3.11-slim-bookworm
COPY --from=build /opt/sidecar /opt/sidecar
COPY rules /etc/sidecar/rules
RUN useradd --system --uid 10001 --user-group --no-create-home --shell /usr/sbin/nologin sidecar \
 && install --directory --owner=sidecar --group=sidecar --mode=0700 /var/lib/sidecar

# The root file system can be read-only: everything that is written goes to the data folder.
ENV PATH=/opt/sidecar/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    SIDECAR_DATA_DIR=/var/lib/sidecar \
    SIDECAR_PROXY_LISTEN=0.0.0.0:8080 \
    SIDECAR_CONTROL_LISTEN=0.0.0.0:8081
USER 10001:10001
VOLUME /var/lib/sidecar
EXPOSE 8080 8081
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s \
  CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8081/healthz', timeout=2)"]
ENTRYPOINT ["sidecar"]
CMD ["run"]
