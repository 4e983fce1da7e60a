-- What every load for wrk reports, as one line of JSON: it counts answers that are not in `expected`. One thread only.

unexpected, example = 0, ""

function setup(thread)
  only = thread
end

function done(summary, latency, requests)
  local e = summary.errors
  io.write(string.format(
    '{"requests":%d,"seconds":%.6f,"p50":%.3f,"p99":%.3f,"errors":%d,"unexpected":%d,"example":%q}\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
    e.connect + e.read + e.write + e.timeout + e.status, only:get("unexpected"),
    (string.gsub(string.sub(only:get("example"), 1, 100), "[^%w ]", "."))))
end
