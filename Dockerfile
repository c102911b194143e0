# One image for every process of movierec; what it runs is the command.
FROM python:3.11-slim-bookworm AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /build
# Libraries first: they change rarely, and their layer is reused.
COPY requirements.lock ./
RUN python -m venv /opt/movierec && /opt/movierec/bin/pip install --require-hashes -r requirements.lock
COPY pyproject.toml README.md ./
COPY cli cli
COPY gateway gateway
COPY shared shared
COPY worker worker
COPY benchmarks benchmarks
RUN /opt/movierec/bin/pip install --no-deps .

FROM python:3.11-slim-bookworm
ENV PATH=/opt/movierec/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \
    DATA_DIR=/srv/movierec/data RESULTS_DIR=/srv/movierec/results MPLCONFIGDIR=/tmp/matplotlib \
    NUMBA_CACHE_DIR=/srv/movierec/data/numba SURPRISE_DATA_FOLDER=/tmp/surprise
COPY --from=build /opt/movierec /opt/movierec
RUN useradd --system --uid 10001 --no-create-home movierec \
 && mkdir -p /srv/movierec/data /srv/movierec/results \
 && chown -R movierec:movierec /srv/movierec
USER movierec
WORKDIR /srv/movierec
EXPOSE 8000
ENTRYPOINT ["movierec"]
CMD ["--help"]
