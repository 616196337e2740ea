# Counterpoint for the processor: API, worker, keeper of documents, and the local model, one image.
# `docker build -t counterpoint .`; EXTRAS=sandbox,otel,local-models adds torch, without CUDA.
FROM python:3.13.9-slim-trixie AS build

ARG EXTRAS=sandbox,otel
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore

WORKDIR /build
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY guardrails guardrails
COPY models models
COPY tools tools
COPY agents agents
COPY graphs graphs
COPY server server
COPY evals evals
# Wheels only: there is no compiler here.
RUN python -m venv /opt/counterpoint \
 && /opt/counterpoint/bin/python -m pip install --only-binary :all: --no-binary counterpoint \
      -c constraints.txt --extra-index-url "$TORCH_INDEX" ".[$EXTRAS]"


FROM python:3.13.9-slim-trixie

# bubblewrap makes the sandbox; libgomp1 is for the local model. Debian's release pins them.
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install -y --no-install-recommends bubblewrap ca-certificates libgomp1 \
 && rm -rf /var/lib/apt/lists/* \
 && groupadd --gid 10001 counterpoint \
 && useradd --uid 10001 --gid 10001 --home-dir /data --no-create-home --shell /usr/sbin/nologin \
      counterpoint \
 # A new volume takes over the owner of the folder that it is mounted on.
 && for folder in /data /models /run/secrets/redis /run/secrets/callers /run/secrets/qdrant \
      /run/secrets/model /run/secrets/metrics /run/secrets/grafana /run/secrets/admin; \
    do install -d -o 10001 -g 10001 "$folder"; done
COPY --from=build /opt/counterpoint /opt/counterpoint

ENV PATH=/opt/counterpoint/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    COUNTERPOINT_DATA_DIR=/data \
    COUNTERPOINT_MODELS_DIR=/models
USER 10001:10001
WORKDIR /data
VOLUME ["/data", "/models"]
EXPOSE 8000
ENTRYPOINT ["counterpoint"]
CMD ["--help"]
