# The tests in a container: docker build -t tenfold . && docker run --rm tenfold
# Another command runs in it as well: docker run --rm -v "$PWD/data:/tenfold/data" tenfold make reproduce
FROM python:3.11-bookworm
RUN apt-get update \
 && apt-get install -y --no-install-recommends chromium git make npm openssh-server \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /tenfold
COPY pyproject.toml constraints.txt Makefile README.md LICENSE ./
COPY tools/__init__.py tools/
COPY flows/__init__.py flows/
COPY tasks/__init__.py tasks/
COPY models/__init__.py models/
RUN make PYTHON=python3.11 .venv/installed
COPY . .
RUN git config --global --add safe.directory /tenfold
CMD ["make", "test"]
