# Mattes of photos and clips, and the service, on the CPU. Build it with docker build -t litematting . and see docs/how-to/container.md.
ARG PYTHON=3.13
FROM python:${PYTHON}-slim
ARG EXTRAS=cpu,video,serve
RUN --mount=type=bind,target=/source,rw sh /source/container/install.sh ${EXTRAS}
ENV PATH=/opt/litematting/bin:$PATH PYTHONDONTWRITEBYTECODE=1 XDG_CACHE_HOME=/cache TMPDIR=/cache HOME=/cache
USER 10001:10001
VOLUME /cache
WORKDIR /data
CMD ["ltm-doctor"]
