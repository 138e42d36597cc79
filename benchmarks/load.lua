-- wrk script: POST the body in file ARGS[1] for one caller of file ARGS[2] after the other; headers are ARGS[3...].
-- Prints one JSON line when done. Latencies are microseconds.
local requests, position = {}, 0

function init(args)
  local file = assert(io.open(args[1], "rb"))
  local body = file:read("*a")
  file:close()
  local headers = { ["Host"] = "benchmark" }
  for index = 3, #args do
    local name, value = args[index]:match("^(.-): (.*)$")
    headers[name] = value
  end
  for caller in io.lines(args[2]) do
    headers["Authorization"] = "Bearer " .. caller
    requests[#requests + 1] = wrk.format("POST", nil, headers, body)
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
