# An API replica: REST, gRPC and the command line, without torch. About 0.4 GB, of which Python's
# slim image is 0.13 and the packages are 0.24 (the largest: psycopg, numpy, SQLAlchemy, gRPC).
#
# The base image is pinned by version. To pin its content too, build with its digest:
#
#   docker build -f deploy/api.Dockerfile --build-arg PYTHON=python:3.11.17-slim-trixie@sha256:… .
ARG PYTHON=python:3.11.17-slim-trixie

FROM ${PYTHON} AS build
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY protocol protocol
COPY diffusion diffusion
COPY client client
COPY center_node center_node
RUN python -m venv /opt/mos && /opt/mos/bin/pip install --no-cache-dir --no-compile ".[api]"

FROM ${PYTHON}
COPY --from=build /opt/mos /opt/mos
RUN useradd --system --uid 10001 --home-dir /data --shell /usr/sbin/nologin mos \
    && install -d -o mos -g mos /data
# The metrics port also answers health, over plain HTTP whatever REST and gRPC speak.
ENV PATH=/opt/mos/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \
    MOS_DATA=/data MOS_HOST=0.0.0.0 MOS_METRICS_PORT=9100 MOS_LOG_FORMAT=json
USER 10001:10001
WORKDIR /data
# Uploads on their way to the store, and nothing that outlives the container.
VOLUME /data
EXPOSE 8000 8001 9100
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:9100/healthz', timeout=4)"]
# Exec form: the center is process 1 and gets SIGTERM itself; it reaps what it starts.
ENTRYPOINT ["mos-center"]
CMD ["serve", "--no-worker"]
