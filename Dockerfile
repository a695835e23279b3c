# Serin in a container: built from these sources, run by a user without rights. docs/INSTALL.md says how.
#
#   docker build -t serin --build-arg SERIN_COMMIT="$(git rev-parse HEAD)" .
#   docker run -p 8080:8080 -v "$PWD/serin.yaml:/etc/serin/serin.yaml:ro" -v serin:/var/lib/serin serin

FROM debian:12 AS build
WORKDIR /src
COPY .ci/setup .ci/setup
RUN .ci/setup build
COPY . .
ARG SERIN_COMMIT=""
ARG SOURCE_DATE_EPOCH=""
RUN .ci/build release serin man completion && .ci/package build/release build/package

FROM debian:12-slim
COPY --from=build /src/build/package/ /tmp/package/
COPY conf/packaging/container.yaml /etc/serin/serin.yaml
# The number is fixed, so that volumes and orchestrators may know it; the package takes the user as it finds it.
RUN groupadd --system --gid 990 serin \
    && useradd --system --uid 990 --gid serin --home-dir /var/lib/serin --no-create-home --shell /usr/sbin/nologin serin \
    && apt-get update \
    && apt-get install -y --no-install-recommends -o Dpkg::Options::=--force-confold ca-certificates /tmp/package/*.deb \
    && rm -rf /tmp/package /var/lib/apt/lists/* /var/cache/apt/* /var/log/apt /var/log/dpkg.log
USER 990:990
WORKDIR /var/lib/serin
VOLUME /var/lib/serin
EXPOSE 8080
STOPSIGNAL SIGTERM
# Whoever asks for a token (exit code 4) is well.
HEALTHCHECK --interval=10s --timeout=5s --start-period=10s --retries=3 CMD ["/bin/sh", "-c", "/usr/bin/serin status || [ $? -eq 4 ]"]
ENTRYPOINT ["/usr/bin/serin"]
CMD ["run", "-c", "/etc/serin/serin.yaml"]
