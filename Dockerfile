# The server without a database; docker-compose.yml adds one.

FROM python:3.13-slim AS build
WORKDIR /src
COPY setup.cfg pyproject.toml README.md LICENSE ./
COPY sql sql
COPY seatsync seatsync
RUN python -m venv /opt/seatsync \
    && /opt/seatsync/bin/pip install --no-cache-dir .

FROM python:3.13-slim
COPY --from=build /opt/seatsync /opt/seatsync
ENV PATH=/opt/seatsync/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    HOST=0.0.0.0 \
    LOG_FORMAT=json
USER 10001:10001
EXPOSE 3000 3001
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s \
    CMD ["python", "-c", "import http.client, os, sys; c = http.client.HTTPConnection('127.0.0.1', int(os.environ.get('PORT') or 3000), timeout=4); c.request('GET', '/healthz'); sys.exit(c.getresponse().status != 200)"]
CMD ["seatsync", "serve"]
