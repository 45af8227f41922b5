# The server, one process a container; the payment simulator and backend.prepare are the same image with another
# command. Nothing is configured here: backend/settings.py tells what the environment must say.
FROM python:3.11-slim

WORKDIR /app
RUN useradd --system --uid 10001 --no-create-home --shell /usr/sbin/nologin qless

# With `--build-arg OTEL=yes` the image can send traces.
ARG OTEL=
COPY requirements.txt requirements-otel.txt ./
RUN pip install --no-cache-dir --disable-pip-version-check --requirement requirements.txt \
    ${OTEL:+--requirement requirements-otel.txt}

COPY backend backend
USER 10001
EXPOSE 8000

HEALTHCHECK --interval=5s --timeout=5s --start-period=30s --retries=3 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/health/live', timeout=4)"]

# SIGTERM: after QLESS_DRAIN_S uvicorn takes no new work, closes the sockets with a code that says come back, and gives
# requests 10 s.
CMD ["uvicorn", "--factory", "backend.app:from_environment", "--host", "0.0.0.0", "--port", "8000", \
    "--loop", "uvloop", "--http", "httptools", "--no-access-log", "--no-server-header", "--log-level", "warning", \
    "--ws", "backend.live.protocol:LiveProtocol", "--ws-max-size", "16384", "--ws-per-message-deflate", "false", \
    "--timeout-graceful-shutdown", "10"]
