-- wrk script: GET the paths in file ARGS[1], one after the other; headers are ARGS[2...].
-- Prints one JSON line when done. Latencies are microseconds.
local requests, position = {}, 0

function init(args)
  local headers = { ["Host"] = "benchmark" }
  for index = 2, #args do
    local name, value = args[index]:match("^(.-): (.*)$")
    headers[name] = value
  end
  for path in io.lines(args[1]) do
    requests[#requests + 1] = wrk.format("GET", path, headers)
  end
end

function request()
  position = position % #requests + 1
  return requests[position]
end

function done(summary, latency)
  local e = summary.errors
  io.write(string.format(
    '{"count":%d,"seconds":%.6f,"p50_us":%.1f,"p99_us":%.1f,"errors":%d}\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50), latency:percentile(99),
    e.connect + e.read + e.write + e.status + e.timeout))
end
