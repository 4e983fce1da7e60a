-- Load for wrk: orders that are created, read, updated and cancelled, each answer looked at.
--
-- BENCH_WORK   create, get, update, cancel or mixed (70 get, 20 create, 7 update, 3 cancel of 100)
-- BENCH_TOKEN  file with a bearer token
-- BENCH_NAME   prefix of the ids of orders that this run creates
-- BENCH_SEED   prefix of the ids of orders that are there; they are numbered from 1
-- BENCH_COUNT  how many of these there are
-- BENCH_TURN   a number that no earlier run had: updates ask for quantities that no earlier run asked for
--
-- BENCH_REPORT  the script report.lua

dofile(os.getenv("BENCH_REPORT"))

local work = os.getenv("BENCH_WORK")
local name = os.getenv("BENCH_NAME")
local seed = os.getenv("BENCH_SEED")
local count = tonumber(os.getenv("BENCH_COUNT"))
local base = 10 * tonumber(os.getenv("BENCH_TURN"))
local file = assert(io.open(os.getenv("BENCH_TOKEN"), "r"))
local token = file:read("*a")
file:close()

local sending = {["Authorization"] = "Bearer " .. token, ["Content-Type"] = "application/json"}
local asking = {["Authorization"] = "Bearer " .. token}
local goods = '"items":[{"category":"electronics","code":"SOWH1000XM4","qty":%d},' ..
  '{"category":"books","code":"978-1617295959","qty":1}]}'

local made, changed, cancelled, read, turn = 0, 0, 0, 0, 0
local ours, first = {}, 1
local function create()
  made = made + 1
  local body = string.format('{"id":"%s-%d","name":"Sample order",' .. goods, name, made, 2)
  return wrk.format("POST", "/order", sending, body)
end

local function get()
  -- All over the place, not one after the other.
  read = (read + 7919) % count
  return wrk.format("GET", string.format("/order/%s-%d", seed, read + 1), {})
end

local function update()
  local id, quantity = changed % count + 1, base + math.floor(changed / count) % 10
  changed = changed + 1
  return wrk.format("PUT", string.format("/order/%s-%d", seed, id), sending,
    string.format('{"name":"Sample order",' .. goods, quantity))
end

local function cancel()
  cancelled = cancelled + 1
  return wrk.format("DELETE", string.format("/order/%s-%d", seed, cancelled), asking)
end

local function cancel_own()
  local id = ours[first]
  if id == nil then return get() end
  ours[first] = nil
  first = first + 1
  return wrk.format("DELETE", "/order/" .. id, asking)
end

-- Of 100 requests: every fifth creates, these update and cancel, the others read.
local updates = {[1] = true, [16] = true, [31] = true, [46] = true, [61] = true, [76] = true, [91] = true}
local cancels = {[8] = true, [43] = true, [78] = true}

local function mixed()
  turn = turn % 100 + 1
  if turn % 5 == 0 then return create() end
  if updates[turn] then return update() end
  if cancels[turn] then return cancel_own() end
  return get()
end

local works = {create = create, get = get, update = update, cancel = cancel, mixed = mixed}
request = works[work]
local good = {create = {[201] = true}, mixed = {[200] = true, [201] = true}}
local expected = good[work] or {[200] = true}

function response(status, headers, body)
  if not expected[status] then
    unexpected = unexpected + 1
    example = status .. " " .. body
  elseif work == "mixed" and status == 201 then
    ours[#ours + 1] = string.match(body, "'(.-)'")
  end
end
