-- ARGV: most lanes, then for those of one tenant that tenant and how many of all are looked at, or for one lane '', 0 and
-- its name. Returns { lanes, tickets }, workers as { id, leases, end of lease, about }, then each lane's row.
local totals = { call('ZCARD', base .. 'depth'), tonumber(call('GET', base .. 'tickets') or 0) }
local workers, rows = {}, {}
local all = call('ZRANGE', base .. 'workers', 0, 9999, 'WITHSCORES')
for at = 1, #all, 2 do
  workers[#workers + 1] = { all[at], call('SCARD', base .. 'w:' .. all[at]), all[at + 1],
    call('HGET', base .. 'about', all[at]) or '' }
end

-- The first of each priority is the oldest of it; -1 is the front.
local function oldest(name)
  local found = -1
  for level = -1, 9 do
    local first = call('ZRANGEBYSCORE', base .. 'r:' .. name, int(level * SPAN), '(' .. int((level + 1) * SPAN),
      'WITHSCORES', 'LIMIT', 0, 1)
    if first[2] then
      local order = tonumber(first[2]) % SPAN
      if found < 0 or order < found then found = order end
    end
  end
  return found
end

local most = tonumber(ARGV[1])
local tenant, one = ARGV[2] or '', ARGV[4]
local names = {}
if one then
  if call('EXISTS', base .. 'l:' .. one) == 1 then names = { one } end
elseif tenant ~= '' then
  for _, name in ipairs(call('ZREVRANGE', base .. 'depth', 0, tonumber(ARGV[3]) - 1)) do
    if #names < most and string.sub(name, 1, 16) == tenant then names[#names + 1] = name end
  end
elseif most > 0 then
  names = call('ZREVRANGE', base .. 'depth', 0, most - 1)
end
for _, name in ipairs(names) do
  local lane = open(name)
  rows[#rows + 1] = { name, lane.ready, lane.delayed, lane.flying, in_flight_max(lane), int(lane.rest), lane.pause,
    lane.spill, int(oldest(name)), lane.conc, lane.rate, lane.ord,
    lane.ring > 0 and standing(lane) or 0 }
end
return { totals, workers, rows }
