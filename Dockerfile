# The server without a database; docker-compose.yml adds one. All that comes from PyPI has its hash in a lock file
# (make lock). Dependencies are a layer of their own: a change of the code alone leaves it as it is.

FROM python:3.13.14-slim-trixie AS dependencies
WORKDIR /src
COPY seatsync/serve/requirements.lock ./
RUN python -m venv --without-pip /opt/seatsync \
    && pip --python /opt/seatsync/bin/python install --no-cache-dir --only-binary :all: --require-hashes \
        --requirement requirements.lock

FROM dependencies AS build
COPY seatsync/serve/build.lock ./
RUN pip install --no-cache-dir --only-binary :all: --require-hashes --requirement build.lock
COPY setup.cfg pyproject.toml README.md LICENSE ./
COPY sql sql
COPY seatsync seatsync
RUN pip wheel --no-cache-dir --no-deps --no-index --no-build-isolation --wheel-dir /wheel . \
    && pip --python /opt/seatsync/bin/python install --no-deps --no-index --prefix /opt/code /wheel/*.whl

FROM python:3.13.14-slim-trixie
COPY --from=dependencies /opt/seatsync /opt/seatsync
COPY --from=build /opt/code /opt/seatsync
ENV PATH=/opt/seatsync/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    HOST=0.0.0.0 \
    LOG_FORMAT=json
USER 10001:10001
EXPOSE 3000 3001
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s \
    CMD ["python", "-c", "import http.client, os, sys; c = http.client.HTTPConnection('127.0.0.1', int(os.environ.get('PORT') or 3000), timeout=4); c.request('GET', '/healthz'); sys.exit(c.getresponse().status != 200)"]
CMD ["seatsync", "serve"]
