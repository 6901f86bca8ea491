# The center node: API, gRPC and one worker in one process.
FROM python:3.11-slim-bookworm AS build
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY protocol protocol
COPY diffusion diffusion
COPY client client
COPY center_node center_node
RUN python -m venv /opt/mos && /opt/mos/bin/pip install --no-cache-dir ".[center]"

FROM python:3.11-slim-bookworm
COPY --from=build /opt/mos /opt/mos
RUN useradd --create-home --uid 10001 mos && install -d -o mos -g mos /data
USER mos
ENV PATH=/opt/mos/bin:$PATH MOS_DATA=/data
VOLUME /data
EXPOSE 8000 8001
HEALTHCHECK --interval=10s --timeout=3s --start-period=60s \
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8000/healthz')"]
ENTRYPOINT ["mos-center"]
CMD ["serve", "--host", "0.0.0.0", "--port", "8000", "--grpc-port", "8001"]
