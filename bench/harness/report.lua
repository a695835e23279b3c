-- Makes wrk end with one line of JSON. Nothing here runs per request.
function done(summary, latency, requests)
    local errors = summary.errors
    local failed = errors.connect + errors.read + errors.write + errors.status + errors.timeout
    io.write(string.format(
        '{"requests":%d,"duration_us":%d,"bytes":%d,"failed":%d,"p50_us":%d,"p99_us":%d,"p999_us":%d}\n',
        summary.requests, summary.duration, summary.bytes, failed,
        latency:percentile(50), latency:percentile(99), latency:percentile(99.9)))
end
