# onlooker for CPUs: `docker build -t onlooker .`, then `docker run --rm onlooker --help`; the page: compose.yaml.
FROM python:3.13-slim AS build
WORKDIR /source
RUN pip install --no-cache-dir uv==0.13.9 && python -m venv --without-pip /opt/onlooker
COPY pyproject.toml hatch_build.py constraints.txt README.md LICENSE ./
COPY src src
RUN uv pip install --no-cache --python /opt/onlooker/bin/python --torch-backend=cpu --constraint constraints.txt ".[events,export,serve]"

FROM python:3.13-slim
RUN useradd --uid 1000 --create-home --groups video onlooker && install --directory --owner onlooker /data
COPY --from=build /opt/onlooker /opt/onlooker
ENV PATH=/opt/onlooker/bin:$PATH ONLOOKER_CACHE=/data/cache
USER 1000
WORKDIR /data
VOLUME /data
EXPOSE 8765
# Without the token the page answers 4xx: it is healthy if it answers at all, except with an error of its own.
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s CMD ["python", "-c", "import http.client, sys; page = http.client.HTTPConnection('127.0.0.1', 8765, timeout=4); page.request('GET', '/'); sys.exit(page.getresponse().status >= 500)"]
ENTRYPOINT ["onlooker"]
CMD ["serve", "--host", "0.0.0.0", "--no-browser"]
