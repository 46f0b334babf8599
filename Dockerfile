# docker build -t buurtsae .
# docker run --rm -v "$PWD:/work" --user "$(id -u):$(id -g)" buurtsae run models/gemeente.toml --out out
# docker run --rm -v "$PWD/out:/work/out:ro" -p 127.0.0.1:8000:8000 buurtsae serve out --host 0.0.0.0
FROM python:3.12-slim

RUN useradd --create-home --uid 1000 buurtsae && mkdir /work /var/cache/numba && chown buurtsae /work /var/cache/numba
COPY . /src
RUN pip install --no-cache-dir "/src[dask,serve]" && rm -r /src

# Loops are compiled for the processor that the image is built on; on another kind they are compiled once more. Beside
# the code an ordinary user could not keep them; any user may add to this folder.
ENV NUMBA_CACHE_DIR=/var/cache/numba PYTHONUNBUFFERED=1
USER buurtsae
RUN buurtsae warm --quiet && chmod -R a+rwX /var/cache/numba

WORKDIR /work
EXPOSE 8000
# Of `serve`; other verbs end by themselves.
HEALTHCHECK --interval=30s --timeout=5s --start-period=20s \
  CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/health', timeout=4)"]
ENTRYPOINT ["buurtsae"]
CMD ["--help"]
