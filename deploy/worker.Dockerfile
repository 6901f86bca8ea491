# A fusion worker, and the center as one container: everything of the API image plus torch, diffusers
# and transformers. Nearly all of its size is torch: about 2 GB with a CPU build, about 8 GB with the
# CUDA build that pip takes by default on Linux (it brings the CUDA libraries along; the host needs
# the driver and its container toolkit only).
#
#   CPU:   docker build -f deploy/worker.Dockerfile --build-arg TORCH_INDEX=<PyTorch's CPU index> .
#   CUDA:  docker build -f deploy/worker.Dockerfile .
#
# TORCH_INDEX is the address of a package index that torch is taken from; empty: pip's own.
# The base image is pinned by version; for its content too: --build-arg PYTHON=…@sha256:…
ARG PYTHON=python:3.11.17-slim-trixie

FROM ${PYTHON} AS build
ARG TORCH_INDEX=""
WORKDIR /src
RUN python -m venv /opt/mos
# First, and in its own layer: it is the largest part and changes least.
RUN /opt/mos/bin/pip install --no-cache-dir --no-compile \
    ${TORCH_INDEX:+--index-url "$TORCH_INDEX"} "torch>=2.6,<2.14"
COPY pyproject.toml README.md LICENSE ./
COPY protocol protocol
COPY diffusion diffusion
COPY client client
COPY center_node center_node
RUN /opt/mos/bin/pip install --no-cache-dir --no-compile ".[center]"

FROM ${PYTHON}
# `mos-center backup` runs pg_dump, which must not be older than the server. Only here: it brings Perl
# along, and the API image stays small.
RUN apt-get update && apt-get install --yes --no-install-recommends postgresql-client-17 \
    && rm -rf /var/lib/apt/lists/*
COPY --from=build /opt/mos /opt/mos
RUN useradd --system --uid 10001 --home-dir /data --shell /usr/sbin/nologin mos \
    && install -d -o mos -g mos /data
# Caches of libraries go to /tmp, which may be all that is writable beside /data.
ENV PATH=/opt/mos/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \
    MPLCONFIGDIR=/tmp/matplotlib HF_HOME=/data/huggingface \
    MOS_DATA=/data MOS_HOST=0.0.0.0 MOS_METRICS_PORT=9100 MOS_LOG_FORMAT=json
USER 10001:10001
WORKDIR /data
# What lies between the steps of a fusion, and sums of earlier ones.
VOLUME /data
EXPOSE 8000 8001 9100
# Loading torch takes seconds, and a first start migrates the database.
HEALTHCHECK --interval=10s --timeout=5s --start-period=120s --retries=3 \
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:9100/healthz', timeout=4)"]
ENTRYPOINT ["mos-center"]
CMD ["worker"]
