-- Load for wrk: pages of a list of orders, from all over it.
--
-- BENCH_TOKEN    file with a bearer token
-- BENCH_CURSORS  file with a cursor on each line
-- BENCH_REPORT   the script report.lua

dofile(os.getenv("BENCH_REPORT"))

local token = assert(io.open(os.getenv("BENCH_TOKEN"), "r")):read("*a")
local fields = {["Authorization"] = "Bearer " .. token}
local cursors, turn = {}, 0
for line in io.lines(os.getenv("BENCH_CURSORS")) do cursors[#cursors + 1] = line end

function request()
  turn = turn % #cursors + 1
  return wrk.format("GET", "/order?limit=20&cursor=" .. cursors[turn], fields)
end

function response(status, headers, body)
  if status ~= 200 then
    unexpected = unexpected + 1
    example = status .. " " .. body
  end
end
