# docker build -t driftscope . && docker run -p 127.0.0.1:8501:8501 -v driftscope:/home/app/work driftscope
FROM python:3.12-slim
RUN useradd --create-home app && install -d -o app /app /home/app/work
USER app
WORKDIR /app
COPY --chown=app requirements.txt ./
RUN python -m venv .venv \
  && .venv/bin/pip install --no-cache-dir --extra-index-url https://download.pytorch.org/whl/cpu -r requirements.txt
COPY --chown=app . .
RUN ./run --install-only
ENV DRIFTSCOPE_HOME=/home/app/work DRIFTSCOPE_SHARED=1 DRIFTSCOPE_LOG=json
VOLUME /home/app/work
EXPOSE 8501
HEALTHCHECK CMD .venv/bin/python -c "import urllib.request as u; u.urlopen('http://127.0.0.1:8501/healthz')"
CMD ["./run", "--shared", "--host", "0.0.0.0", "--no-browser"]
