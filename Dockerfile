# earmark on a CPU, as a user without rights. Build, check and run:
#   docker build -t earmark .
#   docker run --rm earmark                                             (the demo)
#   docker run --rm -v "$PWD:/home/earmark/work" earmark suite own.toml
FROM python:3.13-slim AS build
# hadolint ignore=DL3013
RUN pip install --no-cache-dir uv
COPY . /src
RUN uv build --wheel --out-dir /dist /src

FROM python:3.13-slim
ARG EXTRAS="onnx,serve"
# hadolint ignore=DL3013
RUN --mount=from=build,source=/dist,target=/dist \
    pip install --no-cache-dir uv \
    && uv pip install --system --no-cache --torch-backend cpu "$(echo /dist/*.whl)[$EXTRAS]" \
    && pip uninstall --yes --no-cache-dir uv \
    && useradd --create-home --uid 1000 earmark \
    && mkdir /home/earmark/work \
    && chown earmark /home/earmark/work
# By its id, so that Kubernetes can tell that it is not root.
USER 1000
WORKDIR /home/earmark/work
ENV NO_COLOR=1
# The installation is checked when the image is built: the whole pipeline on synthetic sounds.
RUN earmark demo --folder /tmp/earmark-demo --jobs 1 && rm -r /tmp/earmark-demo && earmark doctor
ENTRYPOINT ["earmark"]
CMD ["demo"]
