-- ARGV: a token that was never used. Returns the token of the present epoch, and its age in ms.
call('SET', base .. 'epoch', ARGV[1] .. ' ' .. int(now), 'NX')
local token, began = string.match(call('GET', base .. 'epoch'), '^(%S+) (%S+)$')
return { token, int(math.max(now - tonumber(began), 0)) }
